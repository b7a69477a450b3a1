"""Parts of a file come by range, close ones together; a server without ranges is told of."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.http.file_request import FileRequest
from mpbuild.effects.http.ranges import GAP, Meter, RangedFile, coalesced
from mpbuild.formats.archive.stream import Span

DATA = bytes(i * 7 % 251 for i in range(100_000))
SIZE = len(DATA)


@pytest.fixture
def remote(site, web):
    """``remote(size, *more_urls)``: the file that the site has."""
    site.files["/f.whl"] = DATA

    def make(size=SIZE, urls=None, meter=None):
        request = FileRequest(
            name="f.whl", urls=urls or (f"{site.url}/f.whl",), digest=Digest.of(DATA), size=size
        )
        return RangedFile(request, web, meter or Meter())

    return make


def test_each_span_gets_its_bytes_in_the_order_asked(remote):
    spans = [Span(90_000, 90_010), Span(0, 5), Span(50_000, 50_000), Span(99_999, 100_000)]
    assert remote().read(spans) == [DATA[90_000:90_010], DATA[:5], b"", DATA[-1:]]


def test_only_what_was_requested_comes_and_is_counted(remote, site):
    meter = Meter()
    remote(meter=meter).read([Span(10, 30), Span(80_000, 80_100)])
    assert (meter.bytes, meter.requests) == (120, 2)
    asked = sorted(headers["Range"] for headers in site.asked("/f.whl"))
    assert asked == ["bytes=10-29", "bytes=80000-80099"]


def test_spans_that_lie_close_together_are_one_request(remote, site):
    found = remote().read([Span(1000, 1010), Span(0, 10), Span(1005, 1020)])
    assert found == [DATA[1000:1010], DATA[:10], DATA[1005:1020]]
    assert [headers["Range"] for headers in site.asked("/f.whl")] == ["bytes=0-1019"]


SPANS = st.lists(
    st.tuples(st.integers(0, 50_000), st.integers(0, 9000)).map(lambda p: Span(p[0], sum(p))),
    min_size=1,
)


@given(SPANS)
def test_coalesced_spans_hold_all_in_order_with_gaps_between(spans):
    found = coalesced(spans)
    assert all(any(b.start <= s.start and s.stop <= b.stop for b in found) for s in spans)
    assert all(b.start - a.stop > GAP for a, b in pairwise(found))
    assert {b.start for b in found} <= {s.start for s in spans}
    assert {b.stop for b in found} <= {s.stop for s in spans}


def test_a_server_that_gives_files_whole_is_reported_of_and_not_read(remote, site):
    site.ranges = False
    meter = Meter()
    with pytest.raises(EnvironmentFailureError, match="does not support range requests") as caught:
        remote(meter=meter).read([Span(50_000, 50_010)])
    assert caught.value.findings[0].code == "fetch-failed"
    assert caught.value.findings[0].where.startswith("f.whl: ")
    assert "mpbuild fetch" in caught.value.findings[0].hint
    assert meter.bytes == 0


def test_a_file_of_another_size_is_another_file(remote):
    with pytest.raises(
        EnvironmentFailureError, match="size is 100000 bytes; expected 100001"
    ) as caught:
        remote(size=100_001).read([Span(10, 20)])
    assert caught.value.findings[0].code == "content-mismatch"


@pytest.mark.parametrize("stop", [-1, 100_001])
def test_what_is_beyond_the_file_is_not_asked_for(remote, site, stop):
    with pytest.raises(EnvironmentFailureError) as caught:
        remote().read([Span(5, stop)])
    assert caught.value.findings[0].code == "content-mismatch"
    assert not site.seen


def part(start, stop, data, *, total=SIZE):
    """A server that gives other bytes than were asked for."""

    def fault(handler):
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{stop}/{total}")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return fault


def test_a_server_that_gives_another_part_is_not_believed(remote, site):
    site.faults["/f.whl"] = [part(0, 9, DATA[:10])]
    with pytest.raises(EnvironmentFailureError):
        remote().read([Span(100, 110)])


def test_a_server_that_gives_more_or_less_than_it_says_is_not_believed(remote, site):
    for data in (DATA[100:105], DATA[100:300]):
        site.faults["/f.whl"] = [part(100, 109, data)]
        with pytest.raises(
            EnvironmentFailureError, match=r"sent \d+ bytes instead of 10"
        ) as caught:
            remote().read([Span(100, 110)])
        assert caught.value.findings[0].code == "content-mismatch"


def test_a_busy_server_is_asked_again(remote, site, faults):
    site.faults["/f.whl"] = [faults.status(503), faults.status(503)]
    assert remote().read([Span(1, 3)]) == [DATA[1:3]]


def test_what_one_address_cannot_give_the_next_may(remote, site):
    urls = (f"{site.url}/gone.whl", f"{site.url}/f.whl")
    assert remote(urls=urls).read([Span(1, 3)]) == [DATA[1:3]]


def test_of_several_addresses_that_fail_the_first_is_reported(remote, site):
    with pytest.raises(EnvironmentFailureError, match=r"/gone\.whl"):
        remote(urls=(f"{site.url}/gone.whl", f"{site.url}/gone2.whl")).read([Span(1, 3)])


def test_a_file_on_disk_is_read_in_parts_too(remote, tmp_path):
    path = tmp_path / "f.whl"
    path.write_bytes(DATA)
    meter = Meter()
    found = remote(urls=(path.as_uri(),), meter=meter).read([Span(70_000, 70_100)])
    assert found == [DATA[70_000:70_100]]


def test_a_file_without_an_address_is_reported(web):
    request = FileRequest(name="f.whl", urls=(), digest=Digest.of(b""), size=10)
    with pytest.raises(EnvironmentFailureError, match="no URL is known"):
        RangedFile(request, web, Meter()).read([Span(1, 3)])


def test_requests_go_over_one_connection(remote, site):
    """A part is read to its end, so that the next one finds the connection free."""
    ports = set()

    def noting(start):
        def answer(handler):
            ports.add(handler.client_address[1])
            part(start, start + 9, DATA[start : start + 10])(handler)

        return answer

    file = remote()
    site.faults["/f.whl"] = [noting(start) for start in range(0, 90_000, 10_000)]
    for start in range(0, 90_000, 10_000):
        assert file.read([Span(start, start + 10)]) == [DATA[start : start + 10]]
    assert len(ports) == 1
