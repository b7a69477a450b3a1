"""The HTTP client: whom credentials go to, and what failures mean."""

import base64

import pytest

from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.http.client import HttpClient, http_client
from mpbuild.effects.http.transport import MissingError
from mpbuild.effects.http.urls import shown


def basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


def read(web: HttpClient, url: str) -> bytes:
    return web.read(url, limit=1000)


def test_a_login_in_the_address_is_sent_to_its_host(site, web):
    site.files["/a"] = b"a"
    site.login = basic("user:p@ss word")
    assert read(web, f"http://user:p%40ss%20word@{site.host}/a") == b"a"


def test_a_login_in_netrc_is_sent_to_its_host(site, tmp_path):
    site.files["/a"] = b"a"
    site.login = basic("user:secret")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
    assert read(http_client({"HOME": str(tmp_path)}), f"{site.url}/a") == b"a"
    assert read(http_client({"NETRC": str(tmp_path / ".netrc")}), f"{site.url}/a") == b"a"


def test_a_broken_netrc_is_none(site, tmp_path, web):
    site.files["/a"] = b"a"
    (tmp_path / ".netrc").write_text("what is this")
    assert read(http_client({"HOME": str(tmp_path)}), f"{site.url}/a") == b"a"


def test_a_login_never_follows_a_redirect_to_another_host(make_site, faults, web):
    own, other = make_site(), make_site()
    other.files["/b"] = b"b"
    own.faults["/a"] = [faults.redirect(f"{other.url}/b")]
    assert read(web, f"http://user:secret@{own.host}/a") == b"b"
    assert "Authorization" in own.asked("/a")[0]
    assert "Authorization" not in other.asked("/b")[0]


def test_a_login_follows_a_redirect_on_its_own_host(site, faults, web):
    site.files["/b"] = b"b"
    site.login = basic("user:secret")
    site.faults["/a"] = [faults.redirect("/b")]
    assert read(web, f"http://user:secret@{site.host}/a") == b"b"


def test_a_redirect_to_a_file_of_this_machine_is_refused(site, faults, web):
    site.faults["/a"] = [faults.redirect("file:///etc/passwd")]
    with pytest.raises(EnvironmentFailureError):
        read(web, f"{site.url}/a")


def test_a_redirect_to_no_address_is_a_failed_fetch(site, faults, web):
    site.faults["/a"] = [faults.redirect("http://[::1/x")]
    with pytest.raises(EnvironmentFailureError, match="redirects to an invalid URL"):
        read(web, f"{site.url}/a")


def test_redirects_without_end_are_given_up(site, faults, web):
    site.faults["/a"] = [faults.redirect("/a")] * 50
    with pytest.raises(EnvironmentFailureError, match="too many redirects"):
        read(web, f"{site.url}/a")


def test_no_message_holds_a_login_or_a_signed_query(site, web):
    with pytest.raises(EnvironmentFailureError) as caught:
        read(web, f"http://user:secret@{site.host}/a?signature=abc")
    assert "secret" not in str(caught.value)
    assert "abc" not in str(caught.value)
    assert f"{site.url}/a" in str(caught.value)


def test_addresses_are_shown_without_what_is_secret() -> None:
    assert shown("https://u:p@mirror.example/a?b=c#d") == "https://mirror.example/a"


@pytest.mark.parametrize(("status", "said"), [(401, "401"), (403, "403")])
def test_a_server_that_wants_a_login_says_how_to_give_one(site, faults, web, status, said):
    site.faults["/a"] = [faults.status(status)]
    with pytest.raises(EnvironmentFailureError, match=said) as caught:
        read(web, f"{site.url}/a")
    assert ".netrc" in caught.value.findings[0].hint


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_is_missing(site, faults, web, status):
    site.faults["/a"] = [faults.status(status)]
    with pytest.raises(MissingError):
        read(web, f"{site.url}/a")


def test_more_than_the_limit_is_refused(site, web):
    site.files["/a"] = b"x" * 1001
    with pytest.raises(EnvironmentFailureError, match="larger than 1000 bytes") as caught:
        read(web, f"{site.url}/a")
    assert caught.value.findings[0].code == "content-mismatch"


@pytest.mark.parametrize("ranges", [True, False])
def test_the_size_of_a_file_is_reported_without_getting_it(site, web, ranges):
    site.files["/a"] = b"x" * 123_456
    site.ranges = ranges
    assert web.size(f"{site.url}/a") == 123_456


def test_the_size_of_a_local_file_is_reported(tmp_path, web):
    (tmp_path / "a").write_bytes(b"abc")
    assert web.size((tmp_path / "a").as_uri()) == 3


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_a_proxy_is_used_and_gets_its_own_login(site, variable):
    web = http_client({variable: f"http://me:secret@{site.host}"})
    site.files["http://index.example/a"] = b"through"
    assert read(web, "http://index.example/a") == b"through"
    assert site.seen[0][1]["Proxy-Authorization"] == basic("me:secret")
    assert "Authorization" not in site.seen[0][1]


@pytest.mark.parametrize("exempt", ["*", "127.0.0.1", "x.example, 127.0.0.1"])
def test_a_host_may_be_exempt_from_the_proxy(site, exempt):
    site.files["/a"] = b"direct"
    web = http_client({"http_proxy": "http://127.0.0.1:9", "no_proxy": exempt})
    assert read(web, f"{site.url}/a") == b"direct"


def test_a_proxy_that_is_not_there_is_a_failed_fetch() -> None:
    web = http_client({"http_proxy": "http://127.0.0.1:9", "no_proxy": "7.0.0.1"})
    with pytest.raises(EnvironmentFailureError) as caught:
        read(web, "http://127.0.0.1/a")
    assert caught.value.findings[0].code == "fetch-failed"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_certificates_that_are_not_there_are_a_failed_fetch(site, variable):
    with pytest.raises(EnvironmentFailureError) as caught:
        read(http_client({variable: "/nonexistent.pem"}), f"https://{site.host}/a")
    assert caught.value.findings[0].code == "fetch-failed"


@pytest.mark.parametrize(
    "url", ["http://[bad/a", "gopher://index.example/a", "http://index.example:port/a", "nonsense"]
)
def test_what_is_no_address_is_a_failed_fetch(web, url):
    with pytest.raises(EnvironmentFailureError) as caught:
        read(web, url)
    assert caught.value.findings[0].code == "fetch-failed"
