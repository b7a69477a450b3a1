"""Killed, in two, or out of disk: the store stays sound, and the next build goes on."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.network, pytest.mark.sandbox]
MOMENTS_S = (0.5, 4.0)
PATIENCE_S = 10
ROUNDS = 10
MIB = 1 << 20
# A store on a small disk: it is filled up, a build fails, somebody makes space, a build ends.
SMALL_DISK = """
set -eu
mount -t tmpfs -o size=$SIZE,mode=0700 disk "$STORE"
cp -r "$INPUTS/blobs" "$STORE"
head -c "$FILLER" </dev/zero >"$STORE/filler"
set +e
"$@" >"$ANSWERS/small.json"; echo $? >"$ANSWERS/small"
rm "$STORE/filler"
"$@" >"$ANSWERS/large.json"; echo $? >"$ANSWERS/large"
"""


def processes_of(store):
    """Whatever runs and has the store in its command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(store) in words and int(process.name) != os.getpid():
            found.append(words.replace(b"\0", b" ").decode())
    return found


def wait_for_silence(store, patience_s=PATIENCE_S):
    deadline = time.monotonic() + patience_s
    while left := processes_of(store):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def runs(pid):
    """Whether a process runs, and is no zombie that waits for a parent."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except FileNotFoundError:
        return False


def interrupt(mpbuild, number, moment):
    """Start a build, send it a signal after ``moment`` seconds; how it ended."""
    process = mpbuild.start(*mpbuild.BUILD)
    time.sleep(moment)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert b"Traceback" not in err, err.decode()
    wait_for_silence(mpbuild.store)
    return process.returncode, out


def is_sound(mpbuild):
    answer = mpbuild("store", "verify")
    return (answer.code, answer.json["missing"]) == (0, [])


def test_a_build_that_is_interrupted_is_continued_by_the_next(digits, fresh):
    moments = random.Random(time.time_ns())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        code, out = interrupt(fresh, number, moments.uniform(*MOMENTS_S))
        assert code in ((0, 130) if number == signal.SIGINT else (0, -number))
        if code == 130:
            assert [f["code"] for f in json.loads(out)["findings"]] == ["interrupted"]
    target = fresh.build().target
    assert target["package"]["digest"] == digits.digest
    assert target["actions"]["cached"] > 0, "what was done is not done again"
    assert is_sound(fresh)


def test_leftovers_of_the_killed_are_collected(fresh):
    interrupt(fresh, signal.SIGKILL, 4)
    answer = fresh("store", "gc")
    assert answer.code == 0, answer.err
    assert [path.name for path in (fresh.store / "scratch").iterdir()] == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_build_that_is_interrupted_again_and_again_ends_all_the_same(digits, fresh, seed):
    moments = random.Random(seed)
    for _ in range(5):
        number = moments.choice((signal.SIGINT, signal.SIGKILL, signal.SIGTERM))
        interrupt(fresh, number, moments.uniform(0, 12))
    assert fresh.build().digest == digits.digest
    assert is_sound(fresh)


def test_two_builds_at_once_in_one_store_give_one_digest(fresh, quick):
    fresh = fresh._replace(workspace=quick)
    builds = [fresh.start(*fresh.BUILD) for _ in range(2)]
    digests = set()
    for build in builds:
        out, err = build.communicate()
        assert build.returncode == 0, err.decode()
        (target,) = json.loads(out)["targets"]
        digests.add(target["package"]["digest"])
    assert len(digests) == 1
    assert is_sound(fresh)


def test_a_full_disk_is_reported_and_the_build_goes_on_once_there_is_space(
    digits, filled, quick, tmp_path
):
    inputs, disk, answers = (tmp_path / name for name in ("inputs", "disk", "answers"))
    mpbuild = filled(inputs)._replace(store=disk, workspace=quick)
    for folder in (disk, answers):
        folder.mkdir()
    own = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    probe = [*own, "mount", "-t", "tmpfs", "disk", disk]
    tried = subprocess.run(probe, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no small disk can be mounted: {tried.stderr.strip()}")
    used = sum(path.stat().st_size for path in (inputs / "blobs/sha256").iterdir())
    variables = {
        "SIZE": str(used + 1088 * MIB),
        "FILLER": str(1024 * MIB),
        "STORE": str(disk),
        "INPUTS": str(inputs),
        "ANSWERS": str(answers),
    }
    build = mpbuild.words(*mpbuild.BUILD)
    script = [*own, "sh", "-c", SMALL_DISK, "sh", *build]
    subprocess.run(script, env={**mpbuild.environment, **variables}, check=True)
    small, large = (json.loads((answers / f"{n}.json").read_bytes()) for n in ("small", "large"))
    assert (answers / "small").read_text() == "3\n"
    assert {finding["code"] for finding in small["findings"]} == {"disk-full"}
    assert all("free some space" in finding["hint"] for finding in small["findings"])
    assert (answers / "large").read_text() == "0\n"
    expected = digits.mpbuild._replace(workspace=quick).build().digest
    assert large["targets"][0]["package"]["digest"] == expected


def test_without_a_sandbox_an_interruption_ends_the_step_too(digits, quick, tmp_path):
    if not shutil.which("python3.11"):
        pytest.skip("no python3.11 on PATH to run the step with")
    note = tmp_path / "started"
    script = quick / "examples/digits/train.py"
    script.write_text(f"""
import os, time
with open({str(note)!r} + ".part", "w") as file:
    file.write(str(os.getpid()))
os.rename(file.name, {str(note)!r})
time.sleep(600)
""")
    process = digits.mpbuild._replace(workspace=quick).start(
        *digits.mpbuild.BUILD, "--sandbox", "none"
    )
    deadline = time.monotonic() + 60
    while not note.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    step = int(note.read_text())
    assert runs(step)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    deadline = time.monotonic() + 1
    while runs(step):
        assert time.monotonic() < deadline
        time.sleep(0.05)
