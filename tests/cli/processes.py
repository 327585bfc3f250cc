"""Commands in processes of their own, which can be killed: forked from one that has imported everything."""

import atexit
import multiprocessing
import os
import signal
import socket
import sys
import time
from importlib import import_module

from contextrast.signals import ASKING

PATIENCE = 240.0
"""Seconds after which something that does not come counts as stuck, on a machine that is busy."""


_STARTED = []


@atexit.register  # before multiprocessing's own, which waits for them
def _end():
    for process in _STARTED:
        process.kill()


def run_command(name, folder, arguments, environment, output):
    """What a child does: a command, from its command line on."""
    # As in an interpreter of its own. Workers of a server of forks would not notice when their run is killed.
    multiprocessing.set_start_method("fork", force=True)
    os.chdir(folder)
    os.environ.update(environment)
    import torch  # noqa: PLC0415  (the parent does without)
    from lightning.pytorch.utilities import rank_zero_only  # noqa: PLC0415

    rank_zero_only.rank = int(environment.get("LOCAL_RANK", 0))  # as it is where Lightning is imported by each process
    torch.set_num_threads(1)
    for number in ASKING:  # as in a shell's foreground, wherever the tests themselves run
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    sys.stdout = sys.stderr = output.open("a", buffering=1)  # until the end, for what is said last
    sys.argv = [f"contextrast-{name}", *arguments]
    import_module(f"contextrast.cli.{name}").main()


def forked():
    """What makes processes that share only what importing the application leaves behind, which takes seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "contextrast.cli.train",
            "contextrast.cli.app",
            "contextrast.tasks.train",
            "contextrast.cli.evaluate",
            "contextrast.tasks.evaluate",
        ]
    )
    return context


def start(name, folder, *arguments, output="output.txt", run=run_command, **environment):
    """Starts a command in a folder, or another function of the same arguments that does."""
    process = forked().Process(target=run, args=(name, folder, arguments, environment, folder / output))
    process.start()
    _STARTED.append(process)
    return process


def train(folder, *arguments, **options):
    """Starts a training in a folder."""
    return start("train", folder, *arguments, **options)


def train_on_two(folder, *arguments):
    """Starts a training of two processes."""
    return start_two("train", folder, "trainer=ddp", *arguments)


def start_two(name, folder, *arguments):
    """Starts a command of two processes, as Lightning or torchrun would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    asked = ("trainer.accelerator=cpu", "trainer.devices=2", *arguments)
    return [
        start(name, folder, *asked, output=f"output_{rank}.txt", LOCAL_RANK=str(rank), NODE_RANK="0", **where)
        for rank in range(2)
    ]


def wait_for(condition, *processes):
    """Waits until something holds; processes that end before are an error."""
    began = time.monotonic()
    while not condition():
        assert all(process.is_alive() for process in processes), "ended early"
        assert time.monotonic() - began < PATIENCE, "stuck"
        time.sleep(0.005)


def ended(*processes):
    """Waits for the end of processes; their exit codes."""
    for process in processes:
        process.join(PATIENCE)
        assert not process.is_alive(), "stuck"
    return [process.exitcode for process in processes]
