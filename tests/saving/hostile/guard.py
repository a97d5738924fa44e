"""A process in which hostile files are loaded: little memory, an alarm, and a hook that sees what the load touches.

Run as a program it answers one line of JSON on its standard output for each on its input; :class:`Guard` is the other end.
"""

import contextlib
import importlib
import json
import os
import pathlib
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import warnings

ROOT = pathlib.Path(__file__).parents[3]
MEMORY = 2**30  # bytes above what the process has when it is ready
SECONDS = 10  # of the processor's time, so that a busy machine is no fault of the code
WAITING = 40  # by the clock: a load that waits for something
_EVENTS = (  # by their beginnings; "open" and what changes files count outside of the allowed folder alone
    "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.kill", "socket.", "urllib.", "http.", "ftplib.",
    "smtplib.", "pickle.", "marshal.", "ctypes.", "import", "exec", "compile", "code.__new__", "os.putenv", "sys.addaudithook", "syslog.",
)  # fmt: skip
_ON_PATHS = ("open", "os.chmod", "os.chown", "os.link", "os.symlink", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate",
             "shutil.", "os.listdir", "os.scandir", "os.chdir", "tempfile.", "glob.")  # fmt: skip


class _Alarm(BaseException):
    """Time is up. No Exception, so that nothing that is under test catches it."""


class _Watch:
    """The audit hook: what happens while ``folder`` is set, and concerns anything outside of it."""

    folder, seen = None, ()

    def __call__(self, event, args):
        if self.folder is None:
            return
        if event.startswith(_EVENTS) or (event.startswith(_ON_PATHS) and not all(self.inside(arg) for arg in args[:1])):
            self.note(event, args)

    def inside(self, path):
        if isinstance(path, int) or path in (None, "/dev/null"):
            return True
        return os.path.abspath(os.fsdecode(path)).startswith(self.folder)

    def note(self, event, args):
        folder, self.folder = self.folder, None  # what follows is no part of the load
        self.seen.append(f"{event} {[str(arg)[:80] for arg in args[:2]]}")
        self.folder = folder


def _state(ks):
    """What a load has no business to change."""
    from kerasish import saveable

    return [
        saveable._unsafe_enabled, saveable._state.safe_mode, dict(saveable._state.custom_objects), dict(saveable._custom_by_name),
        len(saveable.registry.objects), ks.config.floatx(), ks.config.epsilon(), ks.config.image_data_format(), os.getcwd(), dict(os.environ),
        str(ks.config.dtype_policy()), saveable._state.shared_by_id,
    ]  # fmt: skip


def attempt(ks, watch, job, load):
    """Load one file and say what came of it."""
    os.chdir(job["folder"])
    before, started = _state(ks), time.process_time()
    watch.seen = []
    signal.signal(signal.SIGALRM, _ring)
    signal.signal(signal.SIGPROF, _ring)
    signal.alarm(WAITING)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            watch.folder = job["folder"]
            load(job)
        outcome, message = "loads", ""
    except _Alarm:
        outcome, message = "too slow", ""
    except BaseException as error:  # whatever comes is the answer
        outcome, message = type(error).__name__, str(error)[:2000]
        if not isinstance(error, Exception):
            outcome = f"escapes: {outcome}"
    finally:
        watch.folder = None
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
    changed = [i for i, (a, b) in enumerate(zip(before, _state(ks), strict=True)) if a != b]
    seen = watch.seen + ([f"changed state {changed}"] if changed else [])
    return {"outcome": outcome, "message": message, "effects": seen[:10], "seconds": round(time.process_time() - started, 2)}


def _ring(*_):
    raise _Alarm


def ready(warm_up):
    """Import everything, load what ``warm_up`` loads, then close the door: hook and memory limit."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.path.insert(0, str(ROOT))
    import kerasish as ks

    for optional in ("ml_dtypes", "scipy.signal"):  # third-party packages that a dtype or a window may need
        with contextlib.suppress(ImportError):
            importlib.import_module(optional)
    warm_up(ks)
    watch = _Watch()
    sys.addaudithook(watch)
    size = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return ks, watch


class Guard:
    """The process at work: ``ask`` gives the answer to a job, or ``{"outcome": "crash" | "hangs"}``; a new one takes its place then."""

    def __init__(self, program):
        self.program, self.process = program, None

    def start(self):
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
        self.process = subprocess.Popen([sys.executable, self.program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, env=env)  # fmt: skip
        assert self._line(300) == "ready"

    def _line(self, seconds):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        return self.process.stdout.readline().decode().strip() if ready else None

    def ask(self, job):
        if self.process is None:
            self.start()
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        line = self._line(WAITING + 20)
        if line:
            return json.loads(line)
        self.close()
        return {"outcome": "hangs" if line is None else "crash", "message": "", "effects": [], "seconds": WAITING}

    def close(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()
        self.process = None


def serve(ks, watch, loaders):
    """Answer jobs until the input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        os.environ["TMPDIR"] = job["folder"]
        tempfile.tempdir = job["folder"]
        answer = attempt(ks, watch, job, lambda job: loaders[job["loader"]](ks, job))
        print(json.dumps(answer), file=answers, flush=True)
