"""How a process ends that is asked to stop."""

import multiprocessing
import os
import signal
import time

import pytest

from contextrast.signals import ASKING, Handlers, ending_at_once, leave_to_main_process

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGUSR1: 143}


def ended(task, *arguments):
    """How a process ends that does something; None where it does not end by itself."""
    process = multiprocessing.get_context("fork").Process(target=_heard_by_default, args=(task, *arguments))
    process.start()
    process.join(20)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    return process.exitcode


def _heard_by_default(task, *arguments):
    for number in ASKING:  # wherever the tests themselves run, which may be a background that ignores some
        signal.signal(number, signal.SIG_DFL)
    task(*arguments)


def hears(number, times):
    heard = []
    Handlers(heard.append).install()
    for _ in range(times):
        os.kill(os.getpid(), number)
        time.sleep(0.01)
    os._exit(7 if heard == [number] * times else 8)


@pytest.mark.parametrize("number", ASKING)
def test_two_signals_are_heard_and_a_third_of_the_kind_ends_at_once(number):
    assert ended(hears, number, 2) == 7
    assert ended(hears, number, 3) == -number


def leaves(number):
    with ending_at_once():
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), number)  # while it tidies up
            time.sleep(0.01)


@pytest.mark.parametrize("number", ASKING)
def test_a_command_ends_with_the_signal_s_code_and_is_left_to_tidy_up(number):
    assert ended(leaves, number) == CODES[number]


def swallows(number):
    with ending_at_once():
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except BaseException:
            raise ValueError from None


def test_an_error_that_comes_of_being_stopped_is_none():
    assert ended(swallows, signal.SIGTERM) == 143


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_at_once():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def reads(numbers):
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # pytest's timeout has it
    leave_to_main_process()
    for number in numbers:
        os.kill(os.getpid(), number)
    left = signal.alarm(1)
    time.sleep(5)
    os._exit(7 if left else 8)


def test_a_worker_reads_on_for_a_while():
    assert ended(reads, [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM]) == -signal.SIGALRM
