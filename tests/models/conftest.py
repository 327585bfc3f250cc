"""In this room connections are refused."""

import socket

import pytest


@pytest.fixture(autouse=True)
def no_connections(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"a connection was attempted: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def settings():
    """What every Segmenter needs."""
    return {"num_classes": 5, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
