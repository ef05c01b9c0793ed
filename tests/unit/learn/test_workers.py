"""Parts of one work, side by side."""

import threading

import pytest
import torch
from threadpoolctl import ThreadpoolController, threadpool_limits

from intently.learn.workers import each, pool_of, side_by_side


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
    assert each(lambda _: blas_threads(), range(3)) == [{1}] * 3
    assert blas_threads() == {2}
    with side_by_side(2) as workers:
        assert workers.pool.submit(blas_threads).result() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {2}


@pytest.mark.usefixtures("two_threads")
def test_numpy_keeps_one_thread_until_the_last_of_two_works_is_done() -> None:
    begun, done = threading.Event(), threading.Event()

    def long(_: int) -> set[int]:
        begun.set()
        done.wait(10)
        return blas_threads()

    def other_work() -> list[set[int]]:
        torch.set_num_threads(2)
        return each(long, range(2))

    first: list[list[set[int]]] = []
    other = threading.Thread(target=lambda: first.append(other_work()))

    def short(part: int) -> int:
        if not part:
            other.start()
            begun.wait(10)
        return part

    # It begins before the other and ends before it.
    each(short, range(4))
    assert blas_threads() == {1}
    done.set()
    other.join()
    assert first == [[{1}] * 2]
    assert blas_threads() == {2}


@pytest.mark.usefixtures("two_threads")
def test_each_thread_of_a_pool_has_the_number_of_who_asked_whatever_is_done_meanwhile() -> None:
    def told(_: int) -> int:
        each(lambda part: part, range(3))
        return torch.get_num_threads()

    with pool_of(4) as pool:
        assert list(pool.map(told, range(4))) == [2] * 4


@pytest.mark.usefixtures("two_threads")
def test_a_thread_begun_after_works_has_as_many_threads_of_torch_as_before() -> None:
    assert each(lambda _: torch.get_num_threads(), range(3)) == [1] * 3
    found: list[int] = []
    other = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert found == [2]
