"""Samples of each format from ``tests.making``, sound ones and unsound ones, as one fixture."""

import contextlib
from types import SimpleNamespace

import pytest

from mpbuild.base.errors import InputError
from tests.making.debs import pack_deb, write_ar
from tests.making.elf import write_shared_object
from tests.making.tars import END, pax_header, tar_block, tar_member
from tests.making.wheels import wheel_files
from tests.making.zips import Member, deflated, pack_zip

CONTROL = """Package: demo
Version: 1:2.0-1+b1
Architecture: amd64
Maintainer: Nobody <nobody@example.org>
Description: a package
 with a longer text
 .
 and its end
"""
DEMO = {"demo/__init__.py": b"answer = 42\n" * 20, "demo/native.so": bytes(range(256)) * 8}


def demo_files(files=None, *, name="demo", version="1.0", scripts="", metadata=None, wheel=None):
    """The files of a wheel with a module, a library and ``files``."""
    metadata = metadata or f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nText: too\n"
    overrides = {"METADATA": metadata} | ({"WHEEL": wheel} if wheel else {})
    filename = f"{name}-{version}-py3-none-any.whl"
    everything = {**DEMO, **(files or {})}
    return wheel_files(filename, everything, entry_points=scripts, overrides=overrides)


def demo_wheel(files=None, **options):
    """The wheel of ``demo_files``."""
    return pack_zip([Member(path, data) for path, data in demo_files(files, **options).items()])


def demo_deb(data_tar=None, *, control=CONTROL, scripts=None, **options):
    """A package with ``data_tar``, or with one program."""
    if data_tar is None:
        data_tar = tar_member(b"./", kind=b"5") + tar_member(b"./usr", kind=b"5")
        data_tar += tar_member(b"./usr/data", b"content", mode=0o755) + END
    texts = {name: text.encode() for name, text in (scripts or {}).items()}
    return pack_deb(data_tar, control=control.encode(), scripts=texts, **options)


@pytest.fixture(scope="session")
def make():
    """The writers by what they write."""
    return SimpleNamespace(
        Member=Member,
        ar=write_ar,
        deb=demo_deb,
        deflated=deflated,
        elf=write_shared_object,
        pax=pax_header,
        tar_block=tar_block,
        tar_member=tar_member,
        wheel=demo_wheel,
        wheel_files=demo_files,
        zip=pack_zip,
    )


@pytest.fixture(scope="session")
def reads_or_refuses():
    """A block that may do its work, or be refused with one of the codes: nothing else."""

    @contextlib.contextmanager
    def block(*codes):
        try:
            yield
        except InputError as error:
            if error.findings[0].code not in codes:
                raise

    return block
