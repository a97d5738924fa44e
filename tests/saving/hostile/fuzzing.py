"""Damaged files by the thousand, each loaded in a guarded process; as a program: the guarded side."""

import collections
import contextlib
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile

from tests.saving.hostile import guard, mutations, worker

NAMED = {"loads", "ValueError", "TypeError", "UnsafeFileError", "FileNotFoundError"}
_PER_PROCESS = 4000


def problem(answer, loader, path):
    """What is wrong with an answer, or None."""
    if answer["outcome"] not in NAMED:
        return answer["outcome"]
    if answer["effects"]:
        return "side effect"
    if answer["outcome"] != "loads" and not answer["message"]:
        return "no message"
    if answer["outcome"] not in ("loads", "FileNotFoundError") and loader in ("model", "weights", "by_name") and pathlib.Path(path).name.split(".")[0] not in answer["message"]:
        return "no path"
    return None


def damaged_file(seeds, names, number, folder):
    """Write the ``number``-th damaged file; returns the job that loads it."""
    name = names[number % len(names)]
    loader, model = seeds["files"][name]
    source, folder = pathlib.Path(seeds["folder"]), pathlib.Path(folder)
    target = name
    if name.endswith(".weights.json"):  # the index or one of its shards
        shards = sorted(path.name for path in source.glob("parts_*.weights.h5"))
        for shard in shards:
            shutil.copyfile(source / shard, folder / shard)
        target = ([*shards, name] * 2)[number // len(names) % (len(shards) + 1)]
        shutil.copyfile(source / name, folder / name)
    other = (source / names[(number + 1) % len(names)]).read_bytes()
    (folder / target).write_bytes(mutations.mutate(target, (source / target).read_bytes(), number, other))
    return {"loader": loader, "model": model, "path": str(folder / name), "folder": str(folder), "name": target}


class Fuzzer:
    """Runs numbers of damaged files through guarded processes and keeps count; findings are saved with what reproduces them."""

    def __init__(self, findings, names=None):
        self.findings, self.counts, self.found = pathlib.Path(findings), collections.Counter(), []
        self.stack = contextlib.ExitStack()
        self.folder = self.stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
        self.names, self.process, self.seeds = names, None, None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._stop()
        self.stack.close()

    def _start(self, number, last):
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(guard.ROOT)}
        words = [sys.executable, __file__, self.folder, str(number), str(last), *(self.names or ())]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)

    def _stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        self.process = None

    def run(self, first, count):
        """Files ``first`` to ``first + count``."""
        number, last = first, first + count
        while number < last:
            self._start(number, min(number + _PER_PROCESS, last))
            number = self._drain(number, min(number + _PER_PROCESS, last))
            self._stop()
        return self.counts

    def _drain(self, number, last):
        wait = 120
        while number < last:
            ready, _, _ = select.select([self.process.stdout], [], [], wait)
            line = self.process.stdout.readline() if ready else None
            if not line:
                self._note(number, {"outcome": "hangs" if line is None else "crash", "message": "", "effects": [], "seconds": 0})
                return number + 1
            answer = json.loads(line)
            wait = guard.WAITING + 20
            if answer.get("ready"):
                continue
            self._note(number, answer)
            number += 1
        return number

    def _note(self, number, answer):
        name = answer.get("name", "?")
        wrong = answer.get("problem") or (answer["outcome"] if answer["outcome"] not in NAMED else None)
        self.counts[answer["outcome"] if wrong is None else f"FINDING {wrong}"] += 1
        self.counts["slowest"] = max(self.counts["slowest"], answer["seconds"])
        if wrong:
            self.findings.mkdir(parents=True, exist_ok=True)
            for path in pathlib.Path(self.folder, f"job{number % 64}").glob("*"):
                if path.is_file():
                    shutil.copyfile(path, self.findings / f"{number}-{path.name}")
            self.found.append({"number": number, "name": name, "problem": wrong, **answer})
            (self.findings / f"{number}.json").write_text(json.dumps(self.found[-1], indent=1))


def main(folder, first, last, *names):
    """The guarded side: make the seeds, then load damaged files and print what came of each."""
    folder = pathlib.Path(folder)
    source = folder / "seeds"
    seeds = {}

    def warm_up(ks):
        source.mkdir(exist_ok=True)
        seeds.update(folder=str(source), files=worker.write_seeds(ks, source))
        worker.warm_up(ks)

    ks, watch = guard.ready(warm_up)
    names = names or sorted(seeds["files"])
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for number in range(int(first), int(last)):
        job_folder = folder / f"job{number % 64}"  # the last ones stay, as the other end may want them
        shutil.rmtree(job_folder, ignore_errors=True)
        job_folder.mkdir()
        job = damaged_file(seeds, names, number, job_folder)
        tempfile.tempdir = str(job_folder)
        answer = guard.attempt(ks, watch, job, lambda job: worker.LOADERS[job["loader"]](ks, job))
        print(json.dumps({**answer, "name": job["name"], "problem": problem(answer, job["loader"], job["path"])}), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
