"""A Debian archive on 127.0.0.1 with a key of its own: nothing unsigned or altered counts.

Its security updates are another archive beside it, with the same key.
"""

import gzip
import hashlib
import lzma
from datetime import UTC, datetime, timedelta

import pysequoia
import pytest

from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.debian import signed_archive

NOW = datetime(2026, 8, 1, tzinfo=UTC)
PACKAGES = f"""\
Package: tiny
Version: 1.0-1
Architecture: amd64
Filename: pool/main/t/tiny/tiny_1.0-1_amd64.deb
Size: 4
SHA256: {hashlib.sha256(b"tiny").hexdigest()}
""".encode()
PLAIN = "main/binary-amd64/Packages"
HEAD = {
    "Origin": "Debian",
    "Suite": "oldstable",
    "Codename": "bookworm",
    "Date": "Sat, 11 Jul 2026 10:16:37 UTC",
    "Acquire-By-Hash": "yes",
}


class Archive:
    """One suite on a site; ``publish`` signs what ``head`` and ``indexes`` say."""

    def __init__(self, site, key, root="/debian", suite="bookworm", packages=PACKAGES) -> None:
        self.site = site
        self.key = key
        self.root = root
        self.suite = suite
        self.head = {**HEAD, "Codename": suite}
        self.indexes = {PLAIN: packages, f"{PLAIN}.xz": lzma.compress(packages)}

    @property
    def mirror(self) -> str:
        return self.site.url + self.root

    def publish(self) -> None:
        rows = [f" {sha256(data)} {len(data)} {path}" for path, data in self.indexes.items()]
        fields = [f"{field}: {value}" for field, value in self.head.items()]
        self.sign("\n".join([*fields, "SHA256:", *rows, ""]).encode())
        for path, data in self.indexes.items():
            folder = path.rsplit("/", 1)[0]
            self.serve(f"{folder}/by-hash/SHA256/{sha256(data)}", data)
            if path != PLAIN:
                self.serve(path, data)

    def sign(self, text: bytes) -> None:
        mode = pysequoia.SignatureMode.CLEAR
        self.serve("InRelease", pysequoia.sign(self.key.signer(), text, mode=mode))

    def serve(self, path: str, data: bytes) -> None:
        self.site.files[f"{self.root}/dists/{self.suite}/{path}"] = data

    def remove(self, path: str) -> None:
        del self.site.files[f"{self.root}/dists/{self.suite}/{path}"]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module")
def key():
    return pysequoia.Tsk.generate("archive <archive@mirror.example>")


@pytest.fixture
def archive(site, key):
    return Archive(site, key)


@pytest.fixture
def updates(site, key):
    """The archive of security updates, with a newer package and one of its own."""
    newer = PACKAGES.replace(b"1.0-1", b"1.0-1+deb12u1") + b"\n" + PACKAGES.replace(b"tiny", b"own")
    return Archive(site, key, "/debian-security", "bookworm-security", newer)


@pytest.fixture
def read(archive, key, web):
    def read(suite: str = "bookworm", keyring: bytes = b"", mirrors=(), security=(), snapshot=None):
        return signed_archive.packages(
            suite,
            signed_archive.ArchiveMirrors(mirrors or [archive.mirror], security, snapshot),
            keyring=keyring or bytes(key.extract_certificate()),
            now=NOW,
            web=web,
        )

    return read


def refused(read, **settings: object) -> EnvironmentFailureError:
    with pytest.raises(EnvironmentFailureError) as caught:
        read(**settings)
    return caught.value


def mismatch(read, said: str, **settings: object) -> None:
    error = refused(read, **settings)
    assert error.findings[0].code == "content-mismatch"
    assert said in str(error)


def test_a_signed_suite_is_read(archive, read):
    archive.publish()
    tiny = read().get("tiny")
    assert (tiny.version, tiny.path) == ("1.0-1", "pool/main/t/tiny/tiny_1.0-1_amd64.deb")


def test_the_index_comes_by_its_hash(archive, read):
    archive.publish()
    read()
    paths = [path for path, _ in archive.site.seen]
    assert paths[1:] == [
        f"/debian/dists/bookworm/main/binary-amd64/by-hash/SHA256/{sha256(lzma.compress(PACKAGES))}"
    ]


def test_a_mirror_without_hashes_serves_it_by_name(archive, read):
    archive.publish()
    archive.remove(f"main/binary-amd64/by-hash/SHA256/{sha256(lzma.compress(PACKAGES))}")
    assert read().get("tiny")
    del archive.head["Acquire-By-Hash"]
    archive.publish()
    assert read().get("tiny")


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), ("", bytes)])
def test_other_ways_of_packing_serve_where_xz_is_missing(archive, read, suffix, pack):
    archive.indexes = {PLAIN: PACKAGES, PLAIN + suffix: pack(PACKAGES)}
    archive.publish()
    assert read().get("tiny")


def test_a_suite_may_go_by_its_other_name(archive, read):
    archive.publish()
    prefix = "/debian/dists/"
    for path in list(archive.site.files):
        archive.site.files[path.replace("bookworm", "oldstable")] = archive.site.files[path]
    assert read(suite="oldstable").get("tiny")
    assert archive.site.seen[0][0].startswith(f"{prefix}oldstable")


def test_another_key_is_refused(archive, read):
    archive.publish()
    other = pysequoia.Tsk.generate("other <other@mirror.example>").extract_certificate()
    mismatch(read, "no valid signature", keyring=bytes(other))
    assert "keyring" in refused(read, keyring=bytes(other)).findings[0].hint


def test_debians_own_keys_do_not_vouch_for_others(archive, read):
    archive.publish()
    mismatch(read, "signature", keyring=signed_archive.shipped_keyring("bookworm"))


def test_an_altered_release_is_refused(archive, read):
    archive.publish()
    signed = archive.site.files["/debian/dists/bookworm/InRelease"]
    archive.serve("InRelease", signed.replace(b"Origin: Debian", b"Origin: debian"))
    mismatch(read, "signature")


def test_an_unsigned_release_is_refused(archive, read):
    archive.publish()
    archive.serve("InRelease", b"Suite: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n")
    assert refused(read).findings[0].code == "content-mismatch"


def test_what_is_around_the_signed_text_does_not_count(archive, read):
    archive.publish()
    path = "/debian/dists/bookworm/InRelease"
    archive.site.files[path] = b"Codename: evil\n\n" + archive.site.files[path] + b"\nEvil: 1\n"
    assert read().get("tiny")


def test_the_release_of_another_suite_is_refused(archive, read):
    archive.head["Codename"] = "trixie"
    archive.publish()
    mismatch(read, "the signed release is that of trixie, not of bookworm")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("Date", "Sat, 11 Jul 2037 10:16:37 UTC", "in the future"),
        ("Date", "yesterday", "its date is malformed"),
        ("Date", "", "its date is malformed"),
        ("Valid-Until", "Sat, 18 Jul 2026 10:16:37 UTC", "it was valid until"),
    ],
)
def test_a_release_of_another_time_is_refused(archive, read, field, value, said):
    archive.head[field] = value
    archive.publish()
    mismatch(read, said)


def test_a_release_that_is_still_valid_is_read(archive, read):
    archive.head["Valid-Until"] = "Sat, 08 Aug 2026 10:16:37 UTC"
    archive.publish()
    assert read().get("tiny")


@pytest.mark.parametrize("change", [lambda d: d[:-1] + b"x", lambda d: d + b"x", lambda d: d[:-1]])
def test_an_altered_index_is_refused(archive, read, change):
    archive.publish()
    for path, data in list(archive.site.files.items()):
        if not path.endswith("InRelease"):
            archive.site.files[path] = change(data)
    assert refused(read).findings[0].code == "content-mismatch"


@pytest.mark.parametrize("packed", [b"no xz at all", lzma.compress(PACKAGES)[:-10]])
def test_an_index_that_does_not_unpack_is_refused(archive, read, packed):
    archive.indexes[f"{PLAIN}.xz"] = packed
    archive.publish()
    assert refused(read).findings[0].code == "content-mismatch"


def test_an_index_that_unpacks_to_more_than_the_release_says_is_refused(archive, read):
    archive.indexes[f"{PLAIN}.xz"] = lzma.compress(bytes(50_000_000))
    archive.publish()
    mismatch(read, "does not decompress to the signed main/binary-amd64/Packages")


def test_a_release_without_our_index_is_a_failed_fetch(archive, read):
    archive.indexes = {"contrib/binary-amd64/Packages": b""}
    archive.publish()
    assert "lists no index" in str(refused(read))


def test_the_next_mirror_serves_where_the_first_has_no_release(archive, read):
    archive.publish()
    site = archive.site
    mirrors = ["http://127.0.0.1:9/debian", f"{site.url}/none", f"{site.url}/debian"]
    assert read(mirrors=mirrors).get("tiny")
    error = refused(read, mirrors=mirrors[:2])
    assert [f.code for f in error.findings] == ["fetch-failed", "fetch-failed"]


def expire(other):
    other.head["Valid-Until"] = "Sat, 18 Jul 2026 10:16:37 UTC"
    other.publish()


def precede(other):
    """A mirror whose clock, or whose maker, is years ahead."""
    other.head["Date"] = "Sat, 11 Jul 2037 10:16:37 UTC"
    other.publish()


def lose_indexes(other):
    """A release is there before its files are."""
    for path in [path for path in other.site.files if "binary-amd64" in path]:
        del other.site.files[path]


def keep_old_index(other):
    """A new release, the old files under their names, and none by hash."""
    lose_indexes(other)
    other.serve(f"{PLAIN}.xz", lzma.compress(b"older"))


def damage_index(other):
    for path in [
        path for path in other.site.files if path.startswith("/other/dists/bookworm/main")
    ]:
        other.site.files[path] = b"x" + other.site.files[path][1:]


@pytest.mark.parametrize(
    ("happen", "said"),
    [
        (expire, "it was valid until Sat, 18 Jul 2026 10:16:37 UTC only"),
        (precede, "it is of Sat, 11 Jul 2037 10:16:37 UTC, which is in the future"),
        (lose_indexes, "404"),
        (keep_old_index, "the index is not the signed one"),
        (damage_index, "the index is not the signed one"),
    ],
)
def test_a_mirror_that_is_behind_is_passed_over_and_heard_if_none_will_do(
    archive, key, make_site, read, happen, said
):
    archive.publish()
    other = Archive(make_site(), key, "/other")
    other.publish()
    happen(other)
    assert read(mirrors=[other.mirror, archive.mirror]).get("tiny")
    error = refused(read, mirrors=[other.mirror, f"{archive.site.url}/none"])
    assert said in error.findings[0].message
    assert other.mirror in error.findings[0].where
    assert "/none/dists/bookworm" in error.findings[1].where


def test_a_mirror_with_a_wrong_signature_is_an_error_even_beside_a_good_one(
    archive, key, make_site, read
):
    archive.publish()
    other = Archive(make_site(), pysequoia.Tsk.generate("other <o@mirror.example>"), "/other")
    other.publish()
    mismatch(read, "signature", mirrors=[other.mirror, archive.mirror])


def test_the_newer_of_the_suite_and_its_security_updates_counts(archive, updates, read):
    archive.publish()
    updates.publish()
    found = read(security=[updates.mirror])
    tiny, own = found.get("tiny"), found.get("own")
    assert (tiny.version, tiny.security) == ("1.0-1+deb12u1", True)
    assert (own.version, own.security) == ("1.0-1", True)
    assert [p.version for p in found.versions("tiny")] == ["1.0-1+deb12u1", "1.0-1"]
    assert read().get("own") is None, "without security updates nothing of theirs counts"


def test_of_equal_versions_the_suites_own_counts(archive, updates, read):
    archive.publish()
    updates.indexes = dict(archive.indexes)
    updates.publish()
    assert not read(security=[updates.mirror]).get("tiny").security


def test_security_updates_that_cannot_be_had_are_an_error_that_says_what_to_do(archive, read):
    archive.publish()
    error = refused(read, security=[f"{archive.site.url}/debian-security"])
    first, second = error.findings
    assert first.message.startswith("cannot read the security updates of bookworm")
    assert "MPBUILD_DEBIAN_SECURITY_MIRROR" in first.hint
    assert "`security = false`" in first.hint
    assert "/debian-security/dists/bookworm-security/InRelease" in second.where


def test_security_updates_are_of_the_suite_signed_and_in_time(archive, updates, read):
    archive.publish()
    updates.head["Codename"] = "trixie-security"
    updates.publish()
    mismatch(read, "not of bookworm-security", security=[updates.mirror])
    updates.head["Codename"] = "bookworm-security"
    updates.head["Valid-Until"] = "Sat, 18 Jul 2026 10:16:37 UTC"
    updates.publish()
    error = refused(read, security=[updates.mirror])
    assert "it was valid until" in error.findings[1].message
    updates.key = pysequoia.Tsk.generate("other <o@mirror.example>")
    updates.publish()
    mismatch(read, "signature", security=[updates.mirror])


def test_a_snapshot_is_judged_at_its_own_moment(archive, read):
    archive.head["Valid-Until"] = "Sat, 18 Jul 2026 10:16:37 UTC"
    archive.publish()
    mismatch(read, "it was valid until")
    assert read(snapshot=datetime(2026, 7, 12, tzinfo=UTC)).get("tiny")
    mismatch(read, "it was valid until", snapshot=datetime(2026, 7, 19, tzinfo=UTC))


def test_a_release_from_after_the_snapshot_is_refused(archive, read):
    archive.publish()
    signed = datetime(2026, 7, 11, 10, 16, 37, tzinfo=UTC)
    assert read(snapshot=signed).get("tiny")
    mismatch(read, "later than the snapshot", snapshot=signed - timedelta(seconds=1))


def test_a_snapshot_that_is_yet_to_come_is_refused(archive, read):
    archive.publish()
    with pytest.raises(InputError, match="the snapshot of 2026-08-02T00:00:00Z is in the future"):
        read(snapshot=NOW + timedelta(days=1))


def test_the_moment_of_a_snapshot_is_in_utc():
    assert signed_archive.moment("20260711T101637Z") == datetime(
        2026, 7, 11, 10, 16, 37, tzinfo=UTC
    )
    with pytest.raises(InputError, match="not a valid time: '20260231T000000Z'"):
        signed_archive.moment("20260231T000000Z")


@pytest.mark.parametrize("keyring", [b"no keys", b"\x99\x01"])
def test_a_broken_keyring_is_named(archive, read, keyring):
    archive.publish()
    with pytest.raises((InputError, EnvironmentFailureError)):
        read(keyring=keyring)


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_the_shipped_keys_are_debians(suite):
    certificates = pysequoia.Cert.split_bytes(signed_archive.shipped_keyring(suite))
    names = sorted(str(user) for certificate in certificates for user in certificate.user_ids)
    assert [name.split(" Key", 1)[0] for name in names] == [
        "Debian Archive Automatic Signing",
        "Debian Security Archive Automatic Signing",
        "Debian Stable Release",
    ]
    assert all(f"/{suite})" in name for name in names)


@pytest.mark.parametrize("suite", ["sid", "../debian", ""])
def test_a_suite_without_shipped_keys_needs_a_keyring(suite):
    with pytest.raises(InputError, match="no keys for the Debian suite") as caught:
        signed_archive.shipped_keyring(suite)
    assert "keyring" in caught.value.findings[0].hint


def test_a_keyring_of_the_workspace_is_read_or_named(tmp_path):
    (tmp_path / "own.pgp").write_bytes(b"keys")
    assert signed_archive.read_keyring(tmp_path / "own.pgp") == b"keys"
    with pytest.raises(InputError, match="cannot read"):
        signed_archive.read_keyring(tmp_path / "none.pgp")
