"""Makes the vectors of docs/formats/workflows.md: python tests/vectors/workflows/make.py

Dr. Lee (key A of ../keys.json) is the author, Dr. Weber (key B) the reviewer who is trusted; nobody here knows the
stranger. Each file: `about`, the `offer` of a charter, the `learner` that is installed, and either `words` (reviewed:
words of the sentence) or `refused` (words of the reason) with `lasting` (whether nothing done here changes that).
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any, TypeAlias

from konsil.trust.identity import Identity
from konsil.trust.signed import digest, sign

HERE = Path(__file__).parent
KEYS: dict[str, Identity] = runpy.run_path(str(HERE.parent / "make.py"))["keys"]()
CODE, OTHER_CODE = "1" * 64, "2" * 64
IMAGE, OTHER_IMAGE = "sha256:" + "a" * 64, "sha256:" + "b" * 64
NAME, AT = "nnunet-ms@1.2", "2026-11-27T09:00:00Z"
Case: TypeAlias = dict[str, Any]


def person(name: str, key: str) -> dict[str, str]:
    """A person as records name them."""
    return {"name": name, "key": KEYS[key].public.signing}


LEE, WEBER, STRANGER = person("Dr. Lee", "A"), person("Dr. Weber", "B"), person("Dr. Strange", "stranger")


def workflow(signer: str = "A", **changes: object) -> str:
    """A workflow of Dr. Lee's."""
    honest = {
        "format": "konsil.workflow/1", "name": "nnunet-ms", "version": "1.2", "learner": "nnunet", "code": CODE,
        "versions": {"konsil": "0.1.0"}, "images": [IMAGE], "card": "# nnU-Net\nFor white matter lesions.\n",
        "tested": ["Three phantom sites, 2026-11-20"], "author": LEE, "at": AT,
    }  # fmt: skip
    return sign("workflow", {**honest, **changes}, KEYS[signer]).decode()


def review(of: str, signer: str = "B", **changes: object) -> str:
    """Dr. Weber's approval of a workflow."""
    honest = {
        "format": "konsil.review/1", "workflow": digest("workflow", of.encode()), "reviewer": WEBER,
        "verdict": "approve", "words": "Read and rerun.", "at": AT,
    }  # fmt: skip
    return sign("review", {**honest, **changes}, KEYS[signer]).decode()


GOOD = workflow()
APPROVED = review(GOOD)
STRANGE = review(GOOD, "stranger", reviewer=STRANGER)
REFUSED = review(GOOD, verdict="refuse", words="Tested on phantoms only.")


def case(about: str, published: str = GOOD, *reviews: str, learner: str = "nnunet", **here: str) -> Case:
    """One vector without its outcome."""
    offer = {"name": NAME, "published": published, "reviews": list(reviews)}
    return {"about": about, "offer": offer, "learner": {"name": learner, "code": CODE, "image": "", **here}}


def flipped(document: str, of: str, to: str) -> str:
    """A document in which a word was changed afterwards."""
    assert of in document
    return document.replace(of, to)


def respelled(key: str) -> str:
    """The same key in base64 whose last, unused bits are not zero."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return f"{key[:-2]}{letters[letters.index(key[-2]) + 1]}="


def reviewed() -> dict[str, tuple[Case, str]]:
    """What counts, and words of the sentence."""
    twice = sorted([APPROVED, STRANGE])
    return {
        "valid": (case("an approval of a trusted reviewer", GOOD, APPROVED), "Reviewed by Dr. Weber on 2026-11-27"),
        "image_named": (case("the image here is among those published", GOOD, APPROVED, image=IMAGE), "Dr. Weber"),
        "stranger_beside": (case("a stranger approved it as well", GOOD, *twice), "Dr. Weber"),
        "stranger_refused": (
            case("a stranger's refusal counts no more than a stranger's approval", GOOD, APPROVED,
                 review(GOOD, "stranger", reviewer=STRANGER, verdict="refuse")),
            "Dr. Weber",
        ),
    }  # fmt: skip


def of_this_place() -> dict[str, tuple[Case, str]]:
    """What is not reviewed, but could be put right here."""
    return {
        "unknown_reviewer": (case("the only reviewer is unknown here", GOOD, STRANGE), "Dr. Strange (fingerprint"),
        "other_code": (case("other code is here", GOOD, APPROVED, code=OTHER_CODE), "the code here is another one"),
        "other_image": (case("another image runs here", GOOD, APPROVED, image=OTHER_IMAGE), "container image here"),
    }  # fmt: skip


def for_good() -> dict[str, tuple[Case, str]]:
    """What nothing done here changes."""
    renamed = {"name": "dr lee", "key": WEBER["key"]}
    twin = workflow(author={"name": "Dr. Twin", "key": respelled(LEE["key"])})
    newer = workflow(version="1.3")
    return {
        "nothing": ({**case("the charter names no workflow"), "offer": None}, "brings no reviewed workflow"),
        "name_alone": (case("the centre sent no documents", ""), "brings no reviewed workflow"),
        "no_review": (case("nobody reviewed it"), "nobody has reviewed it"),
        "refused": (case("the reviewer refused it", GOOD, REFUSED), "Dr. Weber refused nnunet-ms@1.2: Tested on"),
        "approved_and_refused": (case("approved, and refused by a second word", GOOD, APPROVED, REFUSED), "refused"),
        "own_review": (case("the author's key", GOOD, review(GOOD, "A", reviewer=LEE)), "its author"),
        "own_name": (case("the author's name, spelled otherwise", GOOD, review(GOOD, reviewer=renamed)), "its author"),
        "own_key_respelled": (case("the author's key, spelled otherwise", twin, review(twin)), "who signed it"),
        "review_of_another": (case("a review of another version", GOOD, review(newer)), "of another workflow"),
        "other_name": (case("another version was asked for", newer, review(newer)), "what came is nnunet-ms@1.3"),
        "other_learner": (case("another learner is asked for", GOOD, APPROVED, learner="monai"), "about the learner"),
        **damaged(),
    }  # fmt: skip


def damaged() -> dict[str, tuple[Case, str]]:
    """Documents that are not whole, or not whose they say they are."""
    unsigned = flipped(GOOD, CODE, OTHER_CODE)
    strange, rude = workflow(colour="green"), workflow(card="\x1b[2J")
    return {
        "workflow_flipped": (case("the code was changed afterwards", unsigned, review(unsigned)), "signature"),
        "workflow_truncated": (case("cut", GOOD[:-1], APPROVED), "canonical form"),
        "workflow_trailing": (case("something behind its end", GOOD + " ", APPROVED), "canonical form"),
        "workflow_wrong_key": (case("signed by somebody else", workflow("stranger"), APPROVED), "signature"),
        "workflow_next_version": (case("of a later format", flipped(GOOD, "/1\n", "/2\n"), APPROVED), "unknown format"),
        "workflow_unknown_field": (case("with a field more", strange, review(strange)), "got colour"),
        "workflow_drives_a_terminal": (case("a card with an escape", rude, review(rude)), "got card"),
        "workflow_as_review": (case("a workflow in a review's place", GOOD, GOOD), "unknown format"),
        "review_flipped": (case("a refusal turned round", GOOD, flipped(REFUSED, "refuse", "approve")), "signature"),
        "review_truncated": (case("cut", GOOD, APPROVED[:-1]), "canonical form"),
        "review_cut_signature": (case("cut in its signature", GOOD, APPROVED[:60]), "signature line is damaged"),
        "review_wrong_key": (case("in the reviewer's name by a stranger", GOOD, review(GOOD, "stranger")), "signature"),
        "review_without_signer": (case("it names nobody", GOOD, review(GOOD, reviewer="Dr. Weber")), "who signed it"),
        "review_undecided": (case("no verdict that we know", GOOD, review(GOOD, verdict="maybe")), "got verdict"),
    }  # fmt: skip


def main() -> None:
    """Write every vector."""
    for name, (made, words) in reviewed().items():
        write(name, {**made, "words": words})
    for lasting, kind in ((False, of_this_place()), (True, for_good())):
        for name, (made, words) in kind.items():
            write(name, {**made, "refused": words, "lasting": lasting})


def write(name: str, content: Case) -> None:
    """One file."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (HERE / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
