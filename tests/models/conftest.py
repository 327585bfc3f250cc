"""In this room connections are refused, and one thread computes: images are too small for more."""

import socket

import pytest
import torch


@pytest.fixture(autouse=True)
def no_connections(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"a connection was attempted: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def settings():
    """What every Segmenter needs."""
    return {"num_classes": 5, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
