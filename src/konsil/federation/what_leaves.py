"""What leaves a site under a charter, in the sentences a custodian reads before deciding."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from konsil.federation.charter import Charter

WRITTEN = {"float32": "Model weights", "delta16": "The change of the model's weights, in 16 bits,"}
SIZES = {
    False: "for each case, unnamed and unordered, its voxel size, image size and the share of it that is not empty.",
    True: "for each axis how many cases have which voxel and image size, rounded, but no line of any single case.",
}


def what_leaves(charter: Charter) -> list[str]:
    """One sentence per kind of message a site sends."""
    secure = charter.secure_aggregation
    sentences = [
        "No image, no mask, no name and no date of a patient leaves the site.",
        "The answer: accepted or refused, the number of cases per split and the versions of the software.",
        "A fingerprint: statistics of intensities over all training cases together, and "
        + SIZES[charter.learner.settings.get("sizes") == "histograms"],
        f"{WRITTEN[charter.precision]} after each of {charter.rounds} rounds, encrypted for the centre, with the "
        "number of training cases, the steps done, the training loss, the validation scores and the time taken.",
        *([charter.rule.what_leaves] if charter.rule.what_leaves else []),
        *([charter.privacy.sentence(charter.rounds + charter.extra_rounds)] if charter.privacy else []),
        *([secure.sentence(len(charter.sites), charter.quorum.sites)] if secure else []),
    ]
    if charter.extra_rounds:
        sentences.append(
            f"The same for up to {charter.extra_rounds} more rounds, if the centre extends the run after its end; a "
            "site that does not want that can leave (konsil leave)."
        )
    if charter.compare_with_local:
        sentences.append(
            "The weights of one model trained at this site alone, encrypted for the centre, which passes them on to "
            "the other sites for comparison."
        )
    if charter.fine_tune:
        sentences.append(
            "Beside it, in the same message, the weights of the federation's model after it was trained on with this "
            "site's patients alone."
        )
    sentences.append(
        "Scores of every model on this site's held-out patients, one line per numbered case without pseudonym, "
        "for the centre only; their means appear in the federation report, which every site receives."
    )
    return sentences
