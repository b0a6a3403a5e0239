"""What the client scripts share: the arguments `URL GOLDEN_FOLDER`, and a runner that calls every
function named `test_…` of the script and prints `ok NAME` for each; the first failure ends it."""

import json
import sys
import threading
import traceback
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

URL = sys.argv[1].rstrip("/")
GOLDEN = Path(sys.argv[2])


def golden(name: str):
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def image(name: str) -> bytes:
    return (GOLDEN / "images" / name).read_bytes()


def near(got: float, want: float, tolerance: float, what: str = "") -> None:
    assert abs(got - want) <= tolerance, f"{what}: {got} is not {want} within {tolerance}"


def same(got, want, where: str = "", tolerance: float = 1e-5) -> None:
    """Equal, scores within what another batch may change."""
    if isinstance(want, float):
        near(got, want, tolerance, where)
    elif isinstance(want, dict):
        assert got.keys() == want.keys(), f"{where}: {got} is not {want}"
        for name in want:
            same(got[name], want[name], f"{where}.{name}", tolerance)
    elif isinstance(want, list):
        assert len(got) == len(want), f"{where}: {got} is not {want}"
        for number, (one, other) in enumerate(zip(got, want)):
            same(one, other, f"{where}[{number}]", tolerance)
    else:
        assert got == want, f"{where}: {got} is not {want}"


@contextmanager
def raises(kind, code: str | None = None, status: int | None = None):
    """The block must raise this exception, for AWS clients with this code and HTTP status. What is yielded has it as `error`."""
    caught = SimpleNamespace(error=None)
    try:
        yield caught
    except kind as error:
        caught.error = error
        if code is not None:
            got = error.response["Error"]["Code"]
            assert got == code, f"code {got}, expected {code}: {error}"
            assert error.response["Error"]["Message"], f"no message: {error.response}"
            assert error.response["ResponseMetadata"]["RequestId"], f"no request id: {error.response}"
        if status is not None:
            got = error.response["ResponseMetadata"]["HTTPStatusCode"]
            assert got == status, f"status {got}, expected {status}: {error}"
    else:
        raise AssertionError(f"{kind.__name__} expected, but the call succeeded")


@contextmanager
def asked_meanwhile(ask, threads: int = 2, least: int = 10):
    """While the block runs, threads call `ask` again and again: from before it begins, and at least so often in all. None of the
    calls may fail."""
    done, begun, failed, count = threading.Event(), threading.Semaphore(0), [], [0] * threads

    def load(number):
        while not failed and (sum(count) < least or not done.is_set()):
            try:
                ask()
                count[number] += 1
            except Exception as error:  # Whatever it is, there must be none.
                failed.append(error)
            begun.release()

    all_of_them = [threading.Thread(target=load, args=(number,)) for number in range(threads)]
    for thread in all_of_them:
        thread.start()
    try:
        begun.acquire()
        yield
    finally:
        done.set()
        for thread in all_of_them:
            thread.join()
    assert not failed, (failed[:3], count)


def run(names: dict) -> None:
    for name, check in list(names.items()):
        if name.startswith("test_"):
            try:
                check()
            except Exception:
                traceback.print_exc()
                sys.exit(f"FAILED {name}")
            print(f"ok {name}", flush=True)
