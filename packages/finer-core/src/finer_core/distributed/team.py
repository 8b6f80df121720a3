"""The processes of one job: how they find each other, agree before they train, and end together.

The first process leads. It checks the user's input, makes the run folder, and then tells the others what to do; until
then they wait in `Team.listen`, and if it fails, they end with its exit code and no message of their own. PyTorch is
loaded only where there are several processes.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import Any

from finer_core.distributed.interruption import interruptible
from finer_core.distributed.ranks import ALONE, Ranks, ranks_of_environment, threads_of, usable_cores
from finer_core.errors import CollectiveError, DivergenceError, InputError, Interrupted, ToldByFirst, exit_code_and_line

_TIMEOUT = timedelta(minutes=30)
"""How long to wait for a process that lives but does not answer. A dead one is noticed at once."""
_PATIENCE = timedelta(seconds=3)
"""How long a process waits for the first to report a failure that all see."""


@contextmanager
def joined() -> Iterator["Team"]:
    """Yield the team that this process belongs to: of one, or those that torchrun started.

    Raises:
        InputError: If the environment names a place that cannot be.
        ToldByFirst: In every process but the first, for what the first reports.
        CollectiveError: If the others cannot be reached.
    """
    ranks = ranks_of_environment()
    if ranks.is_alone:
        yield Team()
        return
    from torch import distributed as dist

    team = Team(ranks)
    try:
        team.join()
        yield team
        team.leave()
    except (Exception, KeyboardInterrupt) as error:
        with suppress(ValueError):  # outside the main thread
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the launcher ends every process now; this one says why
        team.report(error)
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


class Team:
    """Let the processes of a job exchange what they need before, around and after training.

    A team of one does nothing. Every method of a larger one that exchanges anything must be called by all processes,
    in the same order.

    Args:
        ranks: The place of this process.
    """

    def __init__(self, ranks: Ranks = ALONE) -> None:
        self.ranks = ranks
        self._others_listen = self._is_together = not ranks.is_alone
        self._store: Any = None
        self._signals = ExitStack()
        self._should_stop: Callable[[], bool] = lambda: False

    def join(self) -> None:
        """Meet the other processes, and compute with a fair share of the machine's threads."""
        import torch
        from torch import distributed as dist
        from torch.distributed.rendezvous import rendezvous

        # A launcher whose one process fails sends SIGTERM to the rest, which first have to save and to say why.
        self._should_stop = self._signals.enter_context(interruptible(insisting=False))
        if threads := threads_of(self.ranks):
            torch.set_num_threads(threads)
        gpu = torch.cuda.is_available() and dist.is_nccl_available()
        with collective():
            self._store, rank, size = next(rendezvous("env://", timeout=_TIMEOUT))
            backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
            dist.init_process_group(backend, store=self._store, rank=rank, world_size=size, timeout=_TIMEOUT)

    @contextmanager
    def interruptible(self) -> Iterator[Callable[[], bool]]:
        """Yield a function that says whether this process was asked to stop."""
        if not self.ranks.is_alone:
            yield self._should_stop
            return
        with interruptible() as should_stop:
            yield should_stop

    def take_device(self, device: str) -> None:
        """Take the GPU of this process's number on its machine; "cuda" means it from then on.

        Raises:
            InputError: If the machine has fewer GPUs than processes.
        """
        if self.ranks.is_alone or device != "cuda":
            return
        import torch

        if self.ranks.local_size > torch.cuda.device_count():
            raise InputError(
                f"{self.ranks.local_size} processes on a machine with {torch.cuda.device_count()} GPUs; "
                "lower --nproc-per-node, or use --device cpu"
            )
        torch.cuda.set_device(self.ranks.local_rank)

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send plain data from the first process to those that listen."""
        if self._others_listen:
            self._others_listen = False
            self.broadcast(json.dumps({"message": message}).encode())

    def expect_listeners(self) -> None:
        """Take note, in the first process, that the others did what they were told and listen again."""
        self._others_listen = not self.ranks.is_alone

    def listen(self) -> dict[str, Any]:
        """Return what the first process tells.

        Raises:
            ToldByFirst: If it failed.
        """
        answer = json.loads(self.broadcast())
        if "exit_code" in answer:
            raise ToldByFirst(answer["exit_code"])
        message: dict[str, Any] = answer["message"]
        return message

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Make a block, one without exchanges, succeed in all processes or fail in all.

        The first process raises the failure of the lowest number, the others `ToldByFirst`.
        """
        if self.ranks.is_alone:
            yield
            return
        own: Exception | None = None
        try:
            yield
        except CollectiveError:
            raise
        except Exception as error:
            own = error
        failures = [failure for failure in self.gather(_describe(own, self.ranks)) if failure]
        if not failures:
            return
        code, kind, text = failures[0]
        if not self.ranks.is_first:
            raise ToldByFirst(code) from own
        if own is not None:
            raise own
        raise InputError(text) if kind == "InputError" else RuntimeError(text)

    def broadcast(self, data: bytes = b"") -> bytes:
        """Return, everywhere, the first process's data."""
        if self.ranks.is_alone:
            return data
        import torch
        from torch import distributed as dist

        length = torch.tensor([len(data)])
        with collective():
            dist.broadcast(length, src=0)
        content = torch.zeros(max(1, int(length)), dtype=torch.uint8)  # an empty tensor cannot travel
        if data and self.ranks.is_first:
            content = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        with collective():
            dist.broadcast(content, src=0)
        return content.numpy().tobytes()[: int(length)]

    def gather(self, value: Any) -> list[Any]:
        """Return, everywhere, every process's plain data, by number."""
        if self.ranks.is_alone:
            return [value]
        import torch
        from torch import distributed as dist

        data = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.ranks.size)]
        with collective():
            dist.all_gather(lengths, torch.tensor([len(data)]))
        longest = max(int(length) for length in lengths)
        padded = torch.nn.functional.pad(data, (0, longest - len(data)))
        texts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.ranks.size)]
        with collective():
            dist.all_gather(texts, padded)
        return [json.loads(text.numpy().tobytes()[: int(length)]) for text, length in zip(texts, lengths, strict=True)]

    def leave(self) -> None:
        """End the common work: the first process goes on alone, with its machine's cores, and the others may end."""
        if not self._is_together:
            return
        import torch
        from torch import distributed as dist

        self._is_together = False
        self._wait_for_all()
        dist.destroy_process_group()
        self._signals.close()
        if self.ranks.is_first and threads_of(self.ranks):
            torch.set_num_threads(usable_cores())

    def _wait_for_all(self) -> None:
        """Wait until every process is here: a connection that closes too early looks like a process that died."""
        with suppress(RuntimeError):
            self._store.add("here", 1)
            deadline = time.monotonic() + _PATIENCE.total_seconds()
            while self._store.add("here", 0) < self.ranks.size and time.monotonic() < deadline:
                time.sleep(0.002)

    def report(self, error: BaseException) -> None:
        """Settle who reports a failure: the first process, or where it is gone, one of the others.

        Raises:
            ToldByFirst: In every other process, for a failure that all meet.
        """
        code, _ = exit_code_and_line(error)
        met_by_all = isinstance(error, Interrupted | InputError | DivergenceError | ToldByFirst)
        if self.ranks.is_first:
            self._report_first(code)
        if met_by_all and self._is_together:
            self._wait_for_all()
        if self.ranks.is_first:
            return
        if met_by_all or (isinstance(error, CollectiveError) and self._is_reported()):
            raise ToldByFirst(code) from error
        if isinstance(error, CollectiveError):
            raise CollectiveError(f"{error}; --resume goes on from the last checkpoint") from error

    def _report_first(self, code: int) -> None:
        with suppress(RuntimeError):  # the others, or the store, may be gone
            if self._others_listen:
                self._others_listen = False
                self.broadcast(json.dumps({"exit_code": code}).encode())
            self._store.set("reported", "yes")

    def _is_reported(self) -> bool:
        """Return whether the first process reports, or if it does not, whether another one already does."""
        try:
            self._store.wait(["reported"], _PATIENCE)
            return True
        except RuntimeError:
            with suppress(RuntimeError):
                return bool(self._store.add("reports", 1) > 1)
            return False


@contextmanager
def collective() -> Iterator[None]:
    """Turn what PyTorch raises when processes cannot reach each other into a `CollectiveError`."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        if reason.startswith("["):  # gloo: first its source file, and after the reason general advice
            reason = reason.partition("] ")[2].partition(". ")[0]
        raise CollectiveError(f"another process of this job ended or cannot be reached ({reason})") from error


def _describe(error: Exception | None, ranks: Ranks) -> tuple[int, str, str] | None:
    """Return exit code, kind and message of a failure as plain data."""
    if error is None:
        return None
    code, text = exit_code_and_line(error)
    return code, type(error).__name__, text if ranks.is_first else f"process {ranks.rank}: {text}"
