"""Parts of one work, side by side."""

import threading

import pytest
import torch
from threadpoolctl import ThreadpoolController, threadpool_limits

from intently.learn.workers import each, side_by_side


def test_each_keeps_the_order_and_uses_as_many_threads_as_torch() -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            met, barrier = set(), threading.Barrier(threads)

            def work(part: int, barrier: threading.Barrier = barrier, met: set = met) -> int:
                if part < barrier.parties:
                    barrier.wait(10)
                met.add(threading.get_ident())
                return part * part

            assert each(work, range(8)) == [part * part for part in range(8)]
            assert len(met) == threads
    finally:
        torch.set_num_threads(before)


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in ThreadpoolController().select(user_api="blas").info()}


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with threadpool_limits(2, user_api="blas"):
        yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_numpy_takes_one_thread_beside_others_and_gets_its_own_back_when_they_are_done() -> None:
    assert blas_threads() == {2}
    with side_by_side(2):
        assert each(lambda _: blas_threads(), range(3)) == [{1}] * 3
        assert blas_threads() == {1}
    assert blas_threads() == {2}


@pytest.mark.usefixtures("two_threads")
def test_a_thread_begun_after_works_has_as_many_threads_of_torch_as_before() -> None:
    assert each(lambda _: torch.get_num_threads(), range(3)) == [1] * 3
    found: list[int] = []
    other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert found == [2]
