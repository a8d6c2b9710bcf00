"""Policies by seam and name: an unknown one is rejected with one line that lists the known ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from systems.errors import PolicyError
from systems.instainfer import InstaInfer
from systems.serverless.core.policies.batching import Batching, FirstComeFirstServed
from systems.serverless.core.policies.registry import SEAMS, Seam, policy_set
from systems.serverless.options import Options
from systems.serverless_llm import ServerlessLLM
from systems.serverless_lora import ServerlessLoRA

SET = ServerlessLoRA.policy_names

STRANGER = """
from systems.serverless.core.policies.scaling import Scaling
class Never(Scaling):
    name = "never"
    def wants_another(self, function, state, now_ns):
        return False
class Nameless(Scaling):
    def wants_another(self, function, state, now_ns):
        return False
class Half(Scaling):
    name = "half"
class Other:
    name = "other"
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stranger_policies.py").write_text(STRANGER, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


def refused(seam: str, reference: str) -> str:
    with pytest.raises(PolicyError) as caught:
        policy_set({**SET, seam: reference}, Options())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_unknown_is_told_with_what_is_known() -> None:
    said = refused("batchin", "first-come-first-served")
    assert "'batchin'" in said
    assert all(seam in said for seam in SEAMS)
    said = refused("offloading", "most-recently-used")
    assert "offloading 'most-recently-used'" in said
    assert all(name in said for name in SEAMS["offloading"].names)


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("stranger_policies:Gone", "has no attribute 'Gone'"),
        ("stranger_nowhere:Never", "No module named 'stranger_nowhere'"),
        ("stranger_policies:Other", "is not a class derived from"),
        ("stranger_policies:STRANGER", "has no attribute"),
        ("stranger_policies:Half", "does not define wants_another"),
        ("stranger_policies:Nameless", "does not define name"),
    ],
)
def test_a_class_that_is_no_policy_of_the_seam_is_refused(reference: str, why: str) -> None:
    assert why in refused("scaling", reference)


def test_a_class_of_a_third_party_takes_its_seam() -> None:
    chosen = policy_set({**SET, "scaling": "stranger_policies:Never"}, Options()).make()
    assert chosen.names == {**policy_set(SET, Options()).make().names, "scaling": "never"}


def test_a_set_without_one_of_its_policies_is_refused() -> None:
    with pytest.raises(PolicyError, match="none is given for offloading"):
        policy_set({seam: name for seam, name in SET.items() if seam != "offloading"}, Options())


def test_a_name_is_given_once() -> None:
    seam = Seam[Batching]("batching", Batching, [FirstComeFirstServed])
    with pytest.raises(PolicyError, match="'first-come-first-served' is registered twice"):
        seam.add(FirstComeFirstServed)


@pytest.mark.parametrize("system", [ServerlessLoRA, ServerlessLLM, InstaInfer])
def test_a_system_is_the_policies_that_it_names(system: type[ServerlessLoRA]) -> None:
    names = system.policies(Options()).make().names
    assert names.items() >= dict(system.policy_names).items()
    assert set(names) == set(SEAMS)
    for seam, name in names.items():
        assert name in SEAMS[seam].names


def test_a_policy_takes_the_options_of_its_system() -> None:
    options = Options(
        max_prefills=3, batch_delay_s=0.5, prompts_first=True, template="containers", shed=True
    )
    chosen = ServerlessLoRA.policies(options).make()
    assert vars(chosen.batching) == {
        "max_prefills": 3,
        "hold": "contended",
        "max_delay_ns": 500_000_000,
        "prompts_first": True,
    }
    assert not chosen.preloading.template_libraries
    assert chosen.names["admission"] == "shed-hopeless"
    assert ServerlessLoRA.policies(options, {"admission": "all"}).make().names["admission"] == "all"
