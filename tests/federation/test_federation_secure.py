"""Secure aggregation by its parts: what the charter refuses, what a mask hides, what opens a sum and what does not."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from konsil.errors import BadMessage, BadSetting, Refused
from konsil.federation.charter import Charter, parse_charter
from konsil.federation.secure.keys import Group, MaskingKey, RoundKeys, vouched
from konsil.federation.secure.masked import COMMITMENTS, SHARES, Masker, masked_specs
from konsil.federation.secure.masks import BLOCK, Masks, MaskStream
from konsil.federation.secure.opening import Sum
from konsil.federation.secure.ring import FixedPoint
from konsil.federation.secure.shares import combined, digest, opened_row, shared
from konsil.federation.strategies.contribution import Spec
from konsil.trust.identity import Identity

RUN, NUMBER = "ms-2026", 4
Model = dict[str, NDArray[Any]]
STRANGER = Identity.generate().public


def apply_masks(numbers: Model, pairs: Any) -> None:
    masks = Masks(pairs)
    for array in numbers.values():
        masks.apply(array.reshape(-1))


def charter(**rules: Any) -> Charter:
    return parse_charter(
        {"run": RUN, "sites": list("ABCDE"), "compare_with_local": False, "quorum": {"sites": 3},
         "secure_aggregation": {}, **rules}
    )  # fmt: skip


# the charter


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"strategy": "median", "quorum": {"sites": 3}}, "strategy.*compares updates"),
        ({"strategy": "trimmed_mean"}, "compares updates"),
        ({"strategy": "krum", "quorum": {"sites": 5}}, "compares updates"),
        ({"strategy": "multi_krum", "quorum": {"sites": 5}}, "compares updates"),
        ({"strategy": "scaffold"}, "hold all of the model's tensors"),
        ({"strategy": "fedbn"}, "hold all of the model's tensors"),
        ({"strategy": "asym_fedavg"}, "hold all of the model's tensors"),
        ({"strategy": {"name": "fedavg", "clip_norm": 1.0}}, "strategy.clip_norm.*cannot measure"),
        ({"precision": "delta16"}, "precision.*float32"),
        ({"compare_with_local": True}, "compare_with_local.*false"),
        ({"sites": ["A", "B"], "quorum": {"sites": 2}}, "at least 3 sites"),
        ({"quorum": {"sites": 2}}, "quorum.sites.*at least 3"),
        ({"sites": list("ABCDEF")}, "quorum.sites.*at least 4.*4 to open"),
        ({"secure_aggregation": {"threshold": 2}}, "threshold.*more than half of 5"),
        ({"secure_aggregation": {"threshold": 4}}, "quorum.sites.*at least 4"),
        ({"secure_aggregation": {"clip_range": 0}}, "clip_range"),
        ({"secure_aggregation": {"clip_range": float("inf")}}, "clip_range"),
        ({"secure_aggregation": {"mask": True}}, "mask"),
        ({"secure_aggregation": {"keys": {"A": {"age": "x", "signing": "y"}}}}, "keys"),
    ],
)
def test_what_does_not_go_with_sums_is_refused_in_words(rules: dict[str, Any], words: str) -> None:
    with pytest.raises(BadSetting, match=words):
        charter(**rules)


@pytest.mark.parametrize("rule", ["fedavg", "fedavgm", "fedadam", "fedyogi", "fedprox", "ditto"])
def test_what_needs_the_mean_alone_is_accepted(rule: str) -> None:
    assert charter(strategy=rule).secure_needed == 3


def test_the_option_is_off_by_default_and_leaves_no_trace_in_a_charter_without_it() -> None:
    plain = parse_charter({"run": RUN, "sites": ["A", "B"]})
    assert plain.secure_aggregation is None
    assert "secure_aggregation" not in plain.model_dump(mode="json")
    assert not any("masked" in sentence for sentence in plain.what_leaves_the_site())


def test_the_custodian_reads_who_can_open_what_and_whose_keys() -> None:
    keys = {site: Identity.generate().public for site in "ABCDE"}
    published = charter().with_keys(keys)
    assert parse_charter(published.model_dump(mode="json")) == published
    (sentence,) = [said for said in published.what_leaves_the_site() if "masked" in said]
    assert "sum over at least 3 sites, if 3 of the 5 sites help" in sentence
    assert all(keys[site].fingerprint in sentence for site in "ABCDE")
    with pytest.raises(BadSetting, match="keys of every site"):
        parse_charter({**published.model_dump(mode="json"), "sites": list("ABCDX")})


# fixed point


@given(
    changes=st.lists(st.floats(-8, 8), min_size=1, max_size=30),
    cases=st.lists(st.integers(1, 5000), min_size=1, max_size=12),
)
def test_a_mean_in_fixed_point_is_within_its_bound(changes: list[float], cases: list[int]) -> None:
    ring, change = FixedPoint(sum(cases), 8.0), np.array(changes)
    assert 2**29 < sum(cases) * 8 * ring.scale <= 2**30
    with np.errstate(over="ignore"):
        summed = sum((ring.encoded(change, count) for count in cases), np.zeros(len(changes), np.uint32))
    assert ring.holds(summed, sum(cases), len(cases))
    assert np.abs(ring.mean(summed, sum(cases)) - change).max() <= 0.5 * len(cases) / (ring.scale * sum(cases)) + 1e-15


def test_a_change_beyond_the_range_is_cut_off_there() -> None:
    ring = FixedPoint(10, 2.0)
    assert ring.mean(ring.encoded(np.array([5.0, -1e300, 1.0]), 10), 10).tolist() == [2.0, -2.0, 1.0]


def test_numbers_that_no_sum_gives_are_seen() -> None:
    ring = FixedPoint(10, 1.0)
    most = int(4 * ring.scale) + 2
    assert ring.holds(np.array([most, 2**32 - most], np.uint32), 4, 2)
    assert not ring.holds(np.array([0, most + 1], np.uint32), 4, 2)
    assert not ring.holds(np.array([2**32 - most - 1], np.uint32), 4, 2)


# a federation without mailbox


class Circle:
    """Sites with keys, models and cases, and the sum of some of them."""

    def __init__(self, cases: dict[str, int], threshold: int, seed: int = 0, size: int = 40) -> None:
        self.cases, self.threshold = cases, threshold
        self.own = {name: MaskingKey.of(bytes([place]) * 32) for place, name in enumerate(cases, 1)}
        self.group = Group(RUN, {name: key.public for name, key in self.own.items()})
        self.ring = FixedPoint(sum(cases.values()), 8.0)
        draw = np.random.default_rng(seed)
        self.base: Model = {
            "w": np.asfortranarray(draw.normal(size=(size, 3)).astype(np.float32)),
            "n": np.arange(3),
            "b": np.array(draw.normal(), np.float32),
        }
        self.models = {name: self.moved(draw) for name in cases}
        self.updates = {
            name: self.masker(name).masked(self.models[name], dict(self.base), cases[name]) for name in cases
        }

    def moved(self, draw: np.random.Generator) -> Model:
        floats = {name: array for name, array in self.base.items() if array.dtype.kind == "f"}
        return {**self.base, **{n: (a + draw.normal(size=a.shape)).astype(a.dtype) for n, a in floats.items()}}

    def keys(self, name: str) -> RoundKeys:
        return RoundKeys(self.own[name], self.group, name, NUMBER)

    def masker(self, name: str) -> Masker:
        return Masker(self.keys(name), self.ring, self.threshold)

    def summed(self, included: str) -> Model:
        with np.errstate(over="ignore"):
            return {name: sum((self.updates[s][name] for s in included[1:]), self.updates[included[0]][name].copy())
                    for name in "wb"}  # fmt: skip

    def revealed(self, included: str, helper: str, asked: Sum | None = None) -> Any:
        asked = asked or Sum(RUN, NUMBER, self.group.names, tuple(included))
        place = self.group.names.index(helper)
        rows = {s: opened_row(self.updates[s][SHARES][place].tobytes(), self.keys(helper), s) for s in included}
        promised = {site: self.updates[site][COMMITMENTS] for site in included}
        return asked.read(asked.chosen(rows), helper, promised)

    def opened(self, included: str, helpers: str) -> Model:
        asked = Sum(RUN, NUMBER, self.group.names, tuple(included))
        revealed = {helper: self.revealed(included, helper, asked) for helper in helpers}
        promised = {site: self.updates[site][COMMITMENTS] for site in included}
        summed = {name: np.atleast_1d(array) for name, array in self.summed(included).items()}
        apply_masks(summed, asked.masks(revealed, self.threshold, promised))
        return summed


CASES = {"A": 3, "B": 40, "C": 7, "D": 120}


@settings(max_examples=25, deadline=None)
@given(data=st.data(), seed=st.integers(0, 10**6), cases=st.lists(st.integers(1, 500), min_size=4, max_size=6))
def test_any_opened_sum_is_the_plain_weighted_mean(data: Any, seed: int, cases: list[int]) -> None:
    """Whoever is missing from the sum, and whichever sites help: those in it or not."""
    names = "ABCDEF"[: len(cases)]
    circle = Circle(dict(zip(names, cases, strict=True)), len(names) // 2 + 1, seed, size=5)
    included = "".join(sorted(data.draw(st.sets(st.sampled_from(names), min_size=3))))
    helpers = data.draw(st.permutations(names))[: circle.threshold]
    summed, total = circle.opened(included, "".join(helpers)), sum(circle.cases[site] for site in included)
    for name, array in summed.items():
        assert circle.ring.holds(array, total, len(included))
        plain = (
            sum(circle.cases[s] * (circle.models[s][name].astype(float) - circle.base[name]) for s in included) / total
        )
        bound = 0.5 * len(included) / (circle.ring.scale * total) + 1e-14
        assert np.abs(circle.ring.mean(array, total) - plain).max() <= bound


@pytest.mark.parametrize("missing", ["", "A", "B", "C", "D"])
def test_an_opened_sum_is_exactly_the_sum_of_the_bare_numbers(missing: str) -> None:
    circle = Circle(CASES, 3)
    included = "".join(site for site in CASES if site != missing)
    bare = np.zeros(circle.base["w"].shape, np.uint32)
    for site in included:
        bare += circle.ring.encoded(circle.models[site]["w"].astype(float) - circle.base["w"], CASES[site])
    assert np.array_equal(circle.opened(included, "BCD")["w"], bare)


def test_the_wire_form_is_what_the_specs_say() -> None:
    circle = Circle(CASES, 3)
    specs = {name: Spec(array.shape, array.dtype.name) for name, array in circle.base.items()}
    made = {name: Spec(array.shape, array.dtype.name) for name, array in circle.updates["A"].items()}
    assert made == masked_specs(specs, 4)
    assert list(made) == [SHARES, COMMITMENTS, "w", "n", "b"]
    assert np.array_equal(circle.updates["A"]["n"], circle.models["A"]["n"])


def uniform(numbers: NDArray[np.uint32]) -> bool:
    """Chi-square over the values of each of the four bytes, 255 degrees of freedom, p between 0.0001 and 0.9999."""
    for place in range(4):
        found = np.bincount((numbers.reshape(-1) >> np.uint32(8 * place)) & np.uint32(255), minlength=256)
        mean = numbers.size / 256
        if not 178 < float(np.square(found - mean).sum() / mean) < 346:
            return False
    return True


@pytest.fixture
def fixed_seed(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Self seeds are the same in every run of this test, so that it never flickers."""
    seed = bytes(range(16))
    monkeypatch.setattr("konsil.federation.secure.masked.secrets.token_bytes", lambda count: seed[:count])
    return seed


def test_a_masked_update_looks_like_noise_whatever_is_in_it(fixed_seed: bytes) -> None:
    circle = Circle(CASES, 3, size=20_000)
    masker, base = circle.masker("A"), circle.base
    for sent in (base, {**base, "w": base["w"] + 7}, circle.models["A"]):
        masked = masker.masked(sent, dict(base), 3)["w"]
        assert uniform(masked)
        bare = circle.ring.encoded(np.asarray(sent["w"].astype(float) - base["w"]), 3)
        assert not uniform(bare), "the measure sees an update without a mask"
        if np.ptp(bare.view(np.int32)):
            assert abs(np.corrcoef(masked.reshape(-1), bare.view(np.int32).reshape(-1))[0, 1]) < 0.02


def test_with_all_masks_of_one_kind_an_update_still_looks_like_noise(fixed_seed: bytes) -> None:
    """A late update of which the centre had said that it is missing; or one in a sum, opened without the others'."""
    circle = Circle(CASES, 3, size=20_000)
    masked, keys = circle.updates["B"]["w"], circle.keys("B")
    pairs = [(MaskStream(keys.seed(other), RUN, NUMBER), -circle.group.sign("B", other)) for other in "ACD"]
    own = (MaskStream(fixed_seed, RUN, NUMBER), -1)
    without_pairs, without_own, bare = ({"w": masked.copy()} for _ in range(3))
    apply_masks(without_pairs, pairs)
    apply_masks(without_own, [own])
    assert uniform(without_pairs["w"])
    assert uniform(without_own["w"])
    fresh = [(MaskStream(keys.seed(other), RUN, NUMBER), -circle.group.sign("B", other)) for other in "ACD"]
    apply_masks(bare, [(MaskStream(fixed_seed, RUN, NUMBER), -1), *fresh])
    assert not uniform(bare["w"]), "with both kinds it is open"


def test_too_few_sites_open_nothing() -> None:
    circle = Circle(CASES, 3)
    for helpers in combinations("ABCD", 2):
        with pytest.raises(BadMessage, match="too few shares"):
            circle.opened("ABC", "".join(helpers))
    assert circle.opened("ABC", "ABD")


def test_shares_below_the_threshold_fit_every_secret() -> None:
    """Two shares of a threshold of three, and a third that is any number, give another secret each time."""
    circle = Circle(CASES, 3)
    rows, _ = shared([bytes(16)] * 4, 3, circle.keys("A"))
    known = {1 + place: opened_row(rows[place].tobytes(), circle.keys(name), "A")[0] for place, name in enumerate("AB")}
    found = set()
    for guess in range(64):
        with pytest.raises(BadMessage, match="another seed"):
            combined({**known, 3: guess.to_bytes(16)}, 3, digest(bytes(16)))
        from Crypto.Protocol.SecretSharing import Shamir

        found.add(bytes(Shamir.combine([*known.items(), (3, guess.to_bytes(16))])))
    assert len(found) == 64


def test_what_is_revealed_is_never_of_both_kinds() -> None:
    """Of a site in the sum the self seed and seeds with missing sites; of a missing site nothing at all."""
    asked = Sum(RUN, NUMBER, ("A", "B", "C", "D"), ("A", "B", "C"))
    said = asked.chosen({site: [bytes(16)] * 4 for site in "ABC"})["shares"]
    assert {site: set(shares) for site, shares in said.items()} == {s: {s, "D"} for s in "ABC"}


def test_a_wrong_mask_puts_the_sum_out_of_range() -> None:
    circle = Circle(CASES, 3)
    circle.updates["C"]["w"] = circle.updates["C"]["w"] ^ np.uint32(0x5A5A5A5A)
    assert not circle.ring.holds(circle.opened("ABC", "ABC")["w"], 50, 3)


def test_rounds_and_runs_have_masks_of_their_own() -> None:
    seed = bytes(range(16))
    streams = [MaskStream(seed, RUN, 4), MaskStream(seed, RUN, 5), MaskStream(seed, "ms-2027", 4)]
    assert len({stream.take(4).tobytes() for stream in streams}) == 3
    key = {"A": MaskingKey.of(b"a" * 32), "B": MaskingKey.of(b"b" * 32)}
    group = Group(RUN, {name: held.public for name, held in key.items()})
    assert RoundKeys(key["A"], group, "A", 1).seed("B") != RoundKeys(key["A"], group, "A", 2).seed("B")


def test_a_mask_runs_on_over_blocks_and_tensors() -> None:
    whole = {"w": np.zeros(2 * BLOCK + 5, np.uint32)}
    parts = {"a": np.zeros(BLOCK + 1, np.uint32), "b": np.zeros((2, BLOCK // 2 + 2), np.uint32)}
    apply_masks(whole, [(MaskStream(bytes(16), RUN, 1), 1)])
    apply_masks(parts, [(MaskStream(bytes(16), RUN, 1), 1)])
    assert np.array_equal(np.concatenate([parts["a"], parts["b"].reshape(-1)]), whole["w"])


def test_what_is_not_finite_is_not_masked() -> None:
    circle = Circle(CASES, 3)
    with pytest.raises(Refused, match="not finite"):
        circle.masker("A").masked({**circle.base, "b": np.array(np.nan, np.float32)}, dict(circle.base), 3)


def test_every_update_has_a_fresh_seed() -> None:
    circle = Circle(CASES, 3)
    first, second = (circle.masker("A").masked(circle.base, dict(circle.base), 3)["w"] for _ in range(2))
    assert not np.array_equal(first, second)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.just("AAAAAAAAAAAAAAAAAAAAAA=="),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["shares", *"ABCD"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(content=st.dictionaries(st.sampled_from(["shares", "A"]), ANYTHING, max_size=2))
def test_whatever_a_site_reveals_is_refused_in_words_or_good(content: dict[str, Any]) -> None:
    asked = Sum(RUN, NUMBER, ("A", "B", "C", "D"), ("A", "B", "C"))
    promised = {site: np.zeros((5, 4, 32), np.uint8) for site in "ABC"}
    with pytest.raises(BadMessage):
        asked.read(content, "A", promised)


@settings(deadline=None)
@given(document=st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")) | ANYTHING)
def test_whatever_stands_for_a_masking_key_is_refused_in_words(document: Any) -> None:
    with pytest.raises(BadMessage):
        vouched(document, run=RUN, site="A", keys=STRANGER)
