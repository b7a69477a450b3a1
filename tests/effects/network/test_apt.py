"""Which mirrors of Debian and of its security updates there are: configured ones, the variable's,
apt's, and what stands beside.
"""

import pytest

from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.debian import apt_sources

OWN = "https://mirror.example/debian"


@pytest.fixture
def mirrors(tmp_path):
    def mirrors(*configured: str, **files: str) -> tuple[str, ...]:
        (tmp_path / "sources.list.d").mkdir(exist_ok=True)
        for name, text in files.items():
            stem, suffix = name.rsplit("_", 1)
            place = tmp_path if stem == "sources" else tmp_path / "sources.list.d"
            (place / f"{stem}.{suffix}").write_text(text)
        return apt_sources.mirrors(configured, {}, folder=tmp_path)

    return mirrors


def test_the_configured_ones_go_before_the_variable_and_that_before_apt(tmp_path):
    (tmp_path / "sources.list").write_text(f"deb {OWN} bookworm main\n")
    environ = {"MPBUILD_DEBIAN_MIRROR": "http://a.example/debian/  file:///srv/debian"}
    assert apt_sources.mirrors(["https://b.example/"], environ, folder=tmp_path) == (
        "https://b.example",
    )
    assert apt_sources.mirrors([], environ, folder=tmp_path) == (
        "http://a.example/debian",
        "file:///srv/debian",
    )
    assert apt_sources.mirrors([], {}, folder=tmp_path) == (OWN,)


def test_both_formats_are_read_in_order_without_doubles(mirrors):
    assert mirrors(
        sources_list=f"# mine\ndeb [arch=amd64] {OWN} trixie contrib main # all\n",
        a_list="deb http://a.example/debian stable main\n",
        b_sources=(
            "# a comment\nTypes: deb deb-src\nURIs: http://b.example/debian http://c.example/debian/\n"
            f"# another\nSuites: bookworm bookworm-updates\nComponents: main\n\n"
            f"Types: deb\nURIs: {OWN}/\nSuites: trixie\nComponents: main\n"
            "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        ),
    ) == (OWN, "http://a.example/debian", "http://b.example/debian", "http://c.example/debian")


@pytest.mark.parametrize(
    "line",
    [
        "deb-src {} bookworm main",
        "deb {} bookworm-security main",
        "deb {} bookworm/updates main",
        "deb {} bookworm-backports main",
        "deb {} bookworm contrib",
        "deb {} ./",
        "deb [signed-by=/usr/share/keyrings/vendor.gpg] {} bookworm main",
        "deb cdrom:[Debian]/ bookworm main",
        "#deb {} bookworm main",
    ],
)
def test_other_archives_are_passed_over(mirrors, line):
    text = line.format("https://other.example/debian") + f"\ndeb {OWN} bookworm main\n"
    assert mirrors(sources_list=text) == (OWN,)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Types: deb", "Types: deb-src"),
        ("Types: deb", "Enabled: no\nTypes: deb"),
        ("Suites: bookworm", "Suites: bookworm-security"),
        ("Components: main", "Components: contrib"),
        ("Components: main", "Components: main\nSigned-By: /etc/apt/keyrings/vendor.gpg"),
        ("Components: main", "Components: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----"),
        ("URIs: https", "URIs: mirror+https"),
        ("Types: deb", "Types: deb\nTypes: deb"),
    ],
)
def test_other_archives_in_the_other_format_are_passed_over(mirrors, old, new):
    good = f"Types: deb\nURIs: {OWN}\nSuites: bookworm\nComponents: main\n"
    other = good.replace(OWN, "https://other.example").replace(old, new)
    assert mirrors(a_sources=other, b_sources=good) == (OWN,)


def test_none_known_is_an_error_that_says_what_to_do(mirrors):
    with pytest.raises(EnvironmentFailureError, match="no Debian mirror is known") as caught:
        mirrors(sources_list="", a_sources="\xff")
    assert "MPBUILD_DEBIAN_MIRROR" in caught.value.findings[0].hint


SECURITY = "https://mirror.example/debian-security"
SNAPSHOT = "20261101T000000Z"


def security(configured=(), main=(), environ=None, *, snapshot="", folder):
    return apt_sources.security_mirrors(
        configured, main, environ or {}, snapshot=snapshot, folder=folder
    )


def test_mirrors_of_security_updates_are_configured_or_the_variables_or_apts(tmp_path):
    (tmp_path / "sources.list").write_text(
        f"deb {OWN} bookworm main\ndeb {SECURITY} bookworm-security main\n"
        "deb https://other.example/debian-security bookworm-security contrib\n"
    )
    variable = {"MPBUILD_DEBIAN_SECURITY_MIRROR": "http://a.example/s/ file:///srv/s"}
    assert security(["https://b.example/s/"], environ=variable, folder=tmp_path) == (
        "https://b.example/s",
    )
    assert security(environ=variable, folder=tmp_path) == ("http://a.example/s", "file:///srv/s")
    assert security(folder=tmp_path) == (SECURITY,)


def test_one_source_may_name_both_archives(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/a.sources").write_text(
        f"Types: deb\nURIs: {OWN}\nSuites: trixie trixie-security\nComponents: main\n"
    )
    assert apt_sources.mirrors([], {}, folder=tmp_path) == (OWN,)
    assert security(folder=tmp_path) == (OWN,)


@pytest.mark.parametrize(
    ("main", "beside"),
    [
        ("https://b.example/debian/", "https://b.example/debian-security"),
        (
            "https://s.example/archive/debian/{snapshot}",
            f"https://s.example/archive/debian-security/{SNAPSHOT}",
        ),
    ],
)
def test_where_nothing_names_them_they_stand_beside_the_archive(tmp_path, main, beside):
    assert security(main=[main], snapshot=SNAPSHOT, folder=tmp_path) == (beside,)
    environ = {"MPBUILD_DEBIAN_MIRROR": main}
    assert security(environ=environ, snapshot=SNAPSHOT, folder=tmp_path) == (beside,)


def test_an_address_with_a_snapshot_serves_bases_that_have_one(tmp_path):
    environ = {"MPBUILD_DEBIAN_MIRROR": f"https://s.example/{{snapshot}} {OWN}"}
    assert apt_sources.mirrors([], environ, folder=tmp_path) == (OWN,)
    assert apt_sources.mirrors([], environ, snapshot=SNAPSHOT, folder=tmp_path) == (
        f"https://s.example/{SNAPSHOT}",
        OWN,
    )
    alone = {"MPBUILD_DEBIAN_MIRROR": "https://s.example/{snapshot}"}
    with pytest.raises(EnvironmentFailureError, match="no Debian mirror is known"):
        apt_sources.mirrors([], alone, folder=tmp_path)
