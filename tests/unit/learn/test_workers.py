"""Parts of one work, side by side."""

import threading

import torch

from intently.learn.workers import each


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
