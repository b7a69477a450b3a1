"""Options of a build; imports little, because the memo uses them."""

from typing import Any, NamedTuple

from mpbuild.base.accelerator import Accelerator


class BuildOptions(NamedTuple):
    """Options; empty ``accelerators`` are all of the spec, 0 ``jobs`` one for each processor."""

    accelerators: tuple[Accelerator, ...] = ()
    jobs: int = 0
    offline: bool = False
    sandbox: str = "bwrap"

    @property
    def conditions(self) -> dict[str, Any]:
        """The options that decide the package, as JSON data: the memo must agree on them."""
        return {"accelerators": sorted(self.accelerators), "sandbox": self.sandbox}
