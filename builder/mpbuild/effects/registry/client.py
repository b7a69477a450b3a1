"""Makes a client for OCI registries (OCI distribution specification 1.1) and web servers."""

from collections.abc import Mapping

from mpbuild.effects.http.authentication import BasicAuthentication
from mpbuild.effects.http.client import HttpClient
from mpbuild.effects.http.file_transport import FileTransport
from mpbuild.effects.http.http_transport import HttpTransport
from mpbuild.effects.http.retry import RetryPolicy, RetryTransport
from mpbuild.effects.registry.authentication import RegistryAuthentication


def registry_client(environ: Mapping[str, str], retries: RetryPolicy | None = None) -> HttpClient:
    """Makes a client like ``http_client`` that also answers the challenges of registries."""
    policy = retries or RetryPolicy()
    connection = RetryTransport(FileTransport(HttpTransport(environ)), policy)
    logins = BasicAuthentication(connection, environ)
    return HttpClient(RegistryAuthentication(logins, environ), policy)
