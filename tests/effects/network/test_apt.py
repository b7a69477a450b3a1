"""Which Debian mirrors there are: configured ones, the variable's, apt's."""

import pytest

from mpbuild.base.errors import WorldError
from mpbuild.effects import apt

OWN = "https://mirror.example/debian"


@pytest.fixture
def mirrors(tmp_path):
    def mirrors(*configured: str, **files: str) -> tuple[str, ...]:
        (tmp_path / "sources.list.d").mkdir(exist_ok=True)
        for name, text in files.items():
            stem, suffix = name.rsplit("_", 1)
            place = tmp_path if stem == "sources" else tmp_path / "sources.list.d"
            (place / f"{stem}.{suffix}").write_text(text)
        return apt.mirrors(configured, {}, folder=tmp_path)

    return mirrors


def test_the_configured_ones_go_before_the_variable_and_that_before_apt(tmp_path):
    (tmp_path / "sources.list").write_text(f"deb {OWN} bookworm main\n")
    environ = {"MPBUILD_DEBIAN_MIRROR": "http://a.example/debian/  file:///srv/debian"}
    assert apt.mirrors(["https://b.example/"], environ, folder=tmp_path) == ("https://b.example",)
    assert apt.mirrors([], environ, folder=tmp_path) == (
        "http://a.example/debian",
        "file:///srv/debian",
    )
    assert apt.mirrors([], {}, folder=tmp_path) == (OWN,)


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
    with pytest.raises(WorldError, match="no Debian mirror is known") as caught:
        mirrors(sources_list="", a_sources="\xff")
    assert "MPBUILD_DEBIAN_MIRROR" in caught.value.findings[0].hint
