"""Attempts of a step to see or change undeclared things: each must fail."""

import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from errno import (
    EACCES,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    ECONNREFUSED,
    EINVAL,
    ENETUNREACH,
    ENOENT,
    ENOSYS,
    ENXIO,
    EPERM,
    EROFS,
    ESRCH,
    EXDEV,
)
from pathlib import Path

import pytest

pytestmark = pytest.mark.sandbox

HARNESS = """
import ctypes, json, os, signal, socket, stat, sys, time
host = json.loads(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def call(number, *arguments):
    answer = libc.syscall(number, *[
        ctypes.c_char_p(a) if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments])
    if answer < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return answer

def connect(family, address):
    with socket.socket(family) as client:
        client.settimeout(5)
        client.connect(address)

try:
    exec(sys.argv[1])
except OSError as error:
    print("refused", error.errno)
else:
    print("escaped")
"""

ESCAPES = {
    # files of the host
    "read the host's name": ("open('/etc/hostname')", {ENOENT}),
    "read the password file": ("open('/etc/passwd')", {ENOENT}),
    "read the shadow file": ("open('/etc/shadow')", {ENOENT}),
    "list the user's home": ("os.listdir(host['home'])", {ENOENT}),
    "read the workspace": ("open(host['source'])", {ENOENT}),
    "read the host's /tmp": ("open(host['canary'])", {ENOENT}),
    "read a neighbour of an input": ("open('/work/../undeclared')", {ENOENT}),
    "list /run": ("os.listdir('/run')", {ENOENT}),
    "list /sys": ("os.listdir('/sys')", {ENOENT}),
    "read the host's /dev/shm": ("open('/dev/shm/' + host['shm'])", {ENOENT}),
    "leave by the root of process 1": (
        "open('/proc/1/root' + host['canary'])",
        {ENOENT, EACCES, EPERM},
    ),
    "leave by the folder of process 1": (
        "open('/proc/1/cwd/..' + host['canary'])",
        {ENOENT, EACCES, EPERM},
    ),
    "leave by bubblewrap's old root": ("os.listdir('/oldroot')", {ENOENT}),
    "open the folders behind the overlay": (
        """if True:
            line = next(l for l in open('/proc/self/mountinfo') if ' / / ' in l)
            layer = line.split('lowerdir=')[1].split(':')[0].split(',')[0]
            os.listdir(layer.removeprefix('/oldroot'))""",
        {ENOENT},
    ),
    "open a disk": ("open('/dev/vda'); open('/dev/sda')", {ENOENT}),
    "open the memory": ("open('/dev/mem')", {ENOENT}),
    # network and other ways to communicate
    "connect to the internet": (
        "connect(socket.AF_INET, ('192.0.2.1', 80))",
        {ENETUNREACH},
    ),
    "connect to the host's loopback": (
        "connect(socket.AF_INET, ('127.0.0.1', host['port']))",
        {ECONNREFUSED},
    ),
    "connect by IPv6": (
        "connect(socket.AF_INET6, ('2001:db8::1', 80))",
        {ENETUNREACH, EADDRNOTAVAIL, EAFNOSUPPORT},
    ),
    "resolve a name": (
        "socket.getaddrinfo('index.example', 443)",
        {socket.EAI_AGAIN, socket.EAI_NONAME, socket.EAI_SYSTEM, ENETUNREACH},
    ),
    "send a datagram": (
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
        {ENETUNREACH},
    ),
    "connect to an abstract socket": (
        "connect(socket.AF_UNIX, '\\0' + host['abstract'])",
        {ECONNREFUSED},
    ),
    "connect to a socket in /tmp": ("connect(socket.AF_UNIX, host['path'])", {ENOENT}),
    "connect to the container engine": (
        "connect(socket.AF_UNIX, '/var/run/docker.sock')",
        {ENOENT},
    ),
    "talk to the hypervisor": (
        "connect(socket.AF_VSOCK, (2, 1024))",
        {EAFNOSUPPORT},
    ),
    "open a packet socket": ("socket.socket(17, socket.SOCK_RAW)", {EAFNOSUPPORT}),
    "use the kernel's ciphers": ("socket.socket(38, socket.SOCK_SEQPACKET)", {EAFNOSUPPORT}),
    "attach shared memory of the host": (
        "if libc.shmget(host['segment'], 0, 0) < 0: raise OSError(ctypes.get_errno(), '')",
        {ENOENT},
    ),
    "read a keyring": ("call(250, 11, -3, 0, 0)", {EPERM}),
    "add a key": ("call(248, b'user', b'name', b'value', 5, -3)", {EPERM}),
    # changing what is read-only
    "write to an input": ("open('input', 'w')", {EROFS, EACCES}),
    "append to an input": ("open('/work/input', 'a')", {EROFS, EACCES}),
    "change the mode of an input": ("os.chmod('input', 0o777)", {EROFS}),
    "change the time of an input": ("os.utime('input', (0, 0))", {EROFS}),
    "remove an input": ("os.unlink('input')", {EROFS}),
    "rename in the working folder": ("os.rename('input', 'other')", {EROFS}),
    "make a file beside the inputs": ("open('/work/new', 'x')", {EROFS}),
    "hard-link an output to an input": ("os.link('input', '/out/made')", {EXDEV, EPERM}),
    "write into the root": ("open('/usr/lib/new', 'x')", {EROFS}),
    "write beside the root's folders": ("open('/new', 'x')", {EROFS}),
    "change a program": ("open('/usr/bin/python3', 'r+b')", {EROFS}),
    "change the mode of a program": ("os.chmod('/usr/bin/python3', 0o4777)", {EROFS}),
    "leave /out upwards": ("open('/out/../new', 'x')", {EROFS}),
    "make a device": ("os.mknod('/out/null', stat.S_IFCHR | 0o666, os.makedev(1, 3))", {EPERM}),
    "add to /dev": ("open('/dev/new', 'x')", {EROFS}),
    "hook the kernel's core dumps": (
        "open('/proc/sys/kernel/core_pattern', 'r+')",
        {EROFS, EACCES},
    ),
    "change a kernel switch": ("open('/proc/sys/vm/swappiness', 'r+')", {EROFS, EACCES}),
    "press a system key": ("open('/proc/sysrq-trigger', 'w')", {EROFS, EACCES, ENOENT}),
    # more power
    "mount": ("call(165, b'none', b'/tmp', b'tmpfs', 0, 0)", {EPERM}),
    "mount over an input": ("call(165, b'/tmp', b'/work', 0, 4096, 0)", {EPERM}),
    "make the inputs writable": ("call(165, 0, b'/work', 0, 32 | 4096, 0)", {EPERM}),
    "unmount the inputs": ("call(166, b'/work', 2)", {EPERM}),
    "mount by file descriptors": ("call(428, -100, b'/work', 1)", {EPERM}),
    "make a user namespace and mount in it": (
        "call(272, 0x10020000); call(165, b'/tmp', b'/work', 0, 4096, 0)",
        {EPERM},
    ),
    "clone into a user namespace": (
        "call(56, 0x10000000 | 17, 0, 0, 0, 0) or os._exit(0)",
        {EPERM},
    ),
    "clone by the newer call": ("call(435, 0, 0)", {ENOSYS}),
    "enter the namespaces of process 1": (
        "call(308, os.open('/proc/1/ns/net', 0), 0)",
        {EPERM, EACCES},
    ),
    "change the root": ("os.chroot('/tmp')", {EPERM}),
    "become root": ("os.setuid(0)", {EPERM, EINVAL}),
    "join other groups": ("os.setgroups([0])", {EPERM}),
    "give a file away": ("open('/out/f', 'x'); os.chown('/out/f', 0, 0)", {EPERM, EINVAL}),
    "trace a process of the host": ("call(101, 16, host['pid'], 0, 0)", {ESRCH}),
    "kill a process of the host": ("os.kill(host['pid'], signal.SIGKILL)", {ESRCH}),
    "read a process of the host": ("open(f'/proc/{host[\"pid\"]}/environ')", {ENOENT}),
    "take precedence": ("os.nice(-5)", {EPERM, EACCES}),
    "set the clock": ("time.clock_settime(time.CLOCK_REALTIME, time.time())", {EPERM}),
    "rename the host": ("socket.sethostname('other')", {EPERM}),
    "read the kernel's log": ("call(103, 3, 0, 0)", {EPERM}),
    "load a kernel program": ("call(321, 0, 0, 0)", {EPERM}),
    "watch the processor": ("call(298, 0, 0, -1, -1, 0)", {EPERM}),
    "queue calls past the filter": ("call(425, 1, 0)", {EPERM}),
    "open the terminal": ("open('/dev/tty')", {ENXIO}),
}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """The targets of the attempts, all real: files, servers, shared memory, a process."""
    canary = tmp_path / "canary"
    canary.write_text("secret")
    shm = Path("/dev/shm", f"mpbuild-{os.getpid()}")
    shm.write_text("secret")
    abstract, path = f"mpbuild-{os.getpid()}", str(tmp_path / "socket")
    libc = ctypes.CDLL(None)
    segment = libc.shmget(os.getpid(), 4096, 0o1600)
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as unnamed,
        subprocess.Popen(["sleep", "60"]) as process,
    ):
        named.bind(path)
        named.listen()
        unnamed.bind("\0" + abstract)
        unnamed.listen()
        yield json.dumps(
            {
                "home": str(Path.home()),
                "source": __file__,
                "canary": str(canary),
                "shm": shm.name,
                "port": tcp.getsockname()[1],
                "abstract": abstract,
                "path": path,
                "segment": os.getpid(),
                "pid": process.pid,
            }
        )
        assert process.poll() is None, "the host's process was killed"
        process.kill()
    shm.unlink()
    libc.shmctl(segment, 0, None)


@pytest.mark.parametrize("attempt", ESCAPES)
def test_a_step_cannot(attempt, inside, host, tmp_path):
    code, expected = ESCAPES[attempt]
    completed = inside(HARNESS, code, host)
    said = completed.log.decode().split()
    assert said[:1] == ["refused"], completed.log.decode()
    assert int(said[1]) in expected, os.strerror(int(said[1]))
    assert (tmp_path / "work" / "input").read_text() == "declared"


@pytest.mark.parametrize(
    "attempt",
    ["connect to the host's loopback", "connect to an abstract socket", "read the host's /tmp"],
)
def test_the_same_try_succeeds_outside(attempt, host, tmp_path):
    code, _ = ESCAPES[attempt]
    said = subprocess.run(
        [sys.executable, "-c", HARNESS, code, host], capture_output=True, text=True, check=True
    )
    assert said.stdout == "escaped\n"
