"""Run the toy table into a folder: run_toy.py OUT WORKERS [SCHEDULER]."""

import os
import sys

from toy_study import STUDY

from finer_core.errors import exit_code_and_line
from finer_core.reproduction import reproduce

if __name__ == "__main__":
    out, workers, *scheduler = sys.argv[1:]
    if int(workers):
        import dask

        # Workers are copies of what has loaded PyTorch, and take what it found in the environment but for these.
        own = {name: "" for name in os.environ if name.startswith("TOY_")}
        method = os.environ.get("TOY_METHOD", "forkserver")
        dask.config.set({"distributed.worker.multiprocessing-method": method, "distributed.nanny.environ": own})
    try:
        found = reproduce(STUDY, "toy", seeds=(0, 1), out=out, workers=int(workers), scheduler=(*scheduler, None)[0])
    except Exception as error:
        code, line = exit_code_and_line(error)
        print(line, file=sys.stderr)
        sys.exit(code)
    print(len(found.records))
