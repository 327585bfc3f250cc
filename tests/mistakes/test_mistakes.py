"""Every mistake is told in one message: without a traceback, and with what was received or has to be given."""

import re
import warnings

import pytest

from tests.mistakes import commands, data

QUIET = {"CUDA_VISIBLE_DEVICES": ""}  # as on a terminal without a GPU
SAME_FOR_ALL = {"contextrast", "train", "check", "evaluate", "predict", "export", "report", "analyze", "data", "PATH"}
"""Words of the commands and calls that say nothing about the mistake."""


def cases(mistakes, **mark):
    return [
        pytest.param(mistake, id=f"{title}: {mistake.what}", **mark)
        for title, section in mistakes.items()
        for mistake in section
    ]


def received(mistake):
    """Words and numbers of the command or call, of which the message has to name one."""
    return set(re.findall(r"\w+", mistake.how)) - SAME_FOR_ALL


@pytest.mark.parametrize("mistake", [*cases(data.MISTAKES), *cases(commands.MISTAKES, marks=pytest.mark.slow)])
def test_a_mistake_is_told_what_was_wrong(mistake, tmp_path, monkeypatch):
    for key, value in QUIET.items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what libraries say beside the message
        told = mistake.make(tmp_path)
    assert "Traceback" not in told
    assert re.match(r"\w+(Error|Exception|MandatoryValue): |contextrast-\w+: error: |\d+ job", told), told
    words = set(re.findall(r"\w+", told))
    assert words & ({mistake.names} if mistake.names else received(mistake)) or str(tmp_path) in told, told
    assert len(told) < 1000


def test_titles_tell_mistakes_apart():
    told = [case.id for case in cases({**data.MISTAKES, **commands.MISTAKES})]
    assert len(set(told)) == len(told) > 100
