"""The API of OCI registries, read: addresses, and what a registry asks for before it answers.

OCI distribution specification 1.1 ("Pulling manifests", "Pulling blobs"); challenges as in RFC 9110
("WWW-Authenticate"), answered with a basic login or with a token that the registry's own service
gives for one (the distribution project's "Token Authentication Specification").
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

import msgspec
import urllib3

from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.http.client import Web
from mpbuild.effects.http.urls import shown
from mpbuild.effects.registry.logins import find_login

_ACCEPTED = (
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, */*"
)
_LONGEST_CHALLENGE = 4096
_LARGEST_TOKEN = 1 << 16
_PARAMETER = re.compile(r'(?:([\w-]+)[ \t]+)?([\w-]+)=(?:"([^"]*)"|([^\s,"]+))')
# Not what urlsplit would take: every reader of such an address must see the same host in it.
_REALM = re.compile(
    r"(https?)://((?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?)(?:[/?][!-\[\]-~]*)?"
)
_PORT = re.compile(r":\d+$")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, "Authorization Request Header Field"


class _Token(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""


class RegistryWeb(Web):
    """A client that also opens ``oci://host/v2/…``: https, and the registry's challenge answered.

    On this machine it is http. A login goes to its registry and to the token service of it, a
    token to its registry; neither follows a redirect.
    """

    def __init__(self, environ: Mapping[str, str], *, backoff: float = 0.5) -> None:
        super().__init__(environ, backoff=backoff)
        self._authorizations: dict[tuple[str, str], str] = {}

    def _request(
        self, url: str, headers: Mapping[str, str], *, redirect: bool = True
    ) -> urllib3.BaseHTTPResponse:
        if not url.startswith("oci:"):
            return super()._request(url, headers, redirect=redirect)
        host, _, path = url.removeprefix("oci://").partition("/")
        address = f"{'http' if is_local(host) else 'https'}://{host}/{path}"
        repository = path.removeprefix("v2/").rsplit("/", 2)[0]
        headers = {**headers, "Accept": _ACCEPTED}
        known = self._authorizations.get((host, repository))
        response = super()._request(address, headers | _authorized(known), redirect=redirect)
        if response.status != 401 or _was_redirected(response):
            return response
        response.close()
        challenges = _challenges(response.headers.get("WWW-Authenticate", ""))
        answer = self._answer(challenges, address, repository)
        if not answer:
            return response
        self._authorizations[host, repository] = answer
        return super()._request(address, headers | _authorized(answer), redirect=redirect)

    def _answer(
        self, challenges: Mapping[str, Mapping[str, str]], address: str, repository: str
    ) -> str:
        """The ``Authorization`` that the registry asks for; empty where nobody has one."""
        login = find_login(self._environ, urlsplit(address).netloc, repository)
        basic = urllib3.make_headers(basic_auth=login)["authorization"] if login else ""
        if "bearer" not in challenges:
            return basic if "basic" in challenges else ""
        challenge = challenges["bearer"]
        realm = challenge.get("realm", "")
        _check_realm(realm, address, confidential=bool(basic))
        asked = {"scope": challenge.get("scope") or f"repository:{repository}:pull"}
        if service := challenge.get("service"):
            asked["service"] = service
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(asked)}"
        return f"Bearer {self._token(url, basic)}"

    def _token(self, url: str, basic: str) -> str:
        data = self.confide(url, _authorized(basic), limit=_LARGEST_TOKEN)
        try:
            found = msgspec.json.decode(data, type=_Token)
        except msgspec.MsgspecError as error:
            raise EnvironmentFailureError(
                f"the answer is no token: {error}", where=shown(url)
            ) from error
        token = found.token or found.access_token
        if not _TOKEN.fullmatch(token):
            raise EnvironmentFailureError("the answer holds no token", where=shown(url))
        return token


def is_local(host: str) -> bool:
    """Whether ``host``, with or without a port, is this machine by its very name."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_own(service: str, registry: str) -> bool:
    """Whether a registry's token service is its own: its host, or one of the same domain.

    auth.corp.example is registry.corp.example's own, and auth.registry.example registry.example's.
    """
    if service == registry:
        return True
    name, own = (_PORT.sub("", host).lower() for host in (service, registry))
    head, _, domain = own.partition(".")
    if head.startswith("[") or own.rpartition(".")[2].isdecimal():
        return False  # an address of numbers has no domain
    return f".{name}".endswith(f".{domain}" if "." in domain else f".{own}")


def _authorized(authorization: str | None) -> dict[str, str]:
    return {"Authorization": authorization} if authorization else {}


def _was_redirected(response: urllib3.BaseHTTPResponse) -> bool:
    """Whether another place than the registry may be answering."""
    return response.retries is not None and bool(response.retries.history)


def _challenges(header: str) -> dict[str, dict[str, str]]:
    """The parameters of each challenge, by the scheme in lower case."""
    found: dict[str, dict[str, str]] = {}
    parameters: dict[str, str] = {}
    for scheme, name, quoted, bare in _PARAMETER.findall(header[:_LONGEST_CHALLENGE]):
        if scheme:
            parameters = found.setdefault(scheme.lower(), {})
        parameters[name.lower()] = quoted or bare
    return found


def _check_realm(realm: str, address: str, *, confidential: bool) -> None:
    """Refuse a token service that others could listen to, or that isn't the registry's own."""
    match = _REALM.fullmatch(realm)
    if not match:
        raise EnvironmentFailureError(
            f"the registry's token service has no address: {realm[:200]!r}", where=address
        )
    scheme, service = match.groups()
    registry = urlsplit(address).netloc
    if scheme != "https" and not (is_local(service) and is_local(registry)):
        raise EnvironmentFailureError(
            f"the registry's token service is not at https: {realm[:200]!r}", where=address
        )
    if confidential and not is_own(service, registry):
        raise EnvironmentFailureError(
            f"the registry wants its login sent to another host, {service}",
            where=address,
            hint="nothing was sent; a token service shares its registry's domain",
        )
