import os

import pytest

from contextrast.data.parallel import in_processes


def square(number):
    return number, number**2, os.getpid()


def fail(number):
    raise ZeroDivisionError(f"at {number}")


@pytest.mark.parametrize("processes", [0, 2])
def test_results_keep_the_order_of_the_items(processes):
    results = list(in_processes(square, range(3, 20), processes, "Squaring"))
    assert [result[:2] for result in results] == [(number, number**2) for number in range(3, 20)]
    workers = {result[2] for result in results}
    assert len(workers) == max(1, processes)
    assert (os.getpid() in workers) == (processes == 0)


def test_nothing_to_do():
    assert list(in_processes(square, [], 0, "Squaring")) == []


def test_errors_end_it():
    with pytest.raises(ZeroDivisionError, match="at 3"):
        list(in_processes(fail, [3, 4], 0, "Failing"))
