"""The words of the track, each in a few sentences: `conformance precision explain WORD`."""

from __future__ import annotations

from difflib import get_close_matches

from conformance.errors import UsageError
from conformance.precision.model.regimes import REGIMES

VERDICTS = {
    "EXACT": "Every number is the reference's, to the bit.",
    "PASS": "The errors are those that the declared rounding makes: root mean square z up to 1.25 (a little more for "
    "few numbers) and the largest |z| below what chance gives once in a million.",
    "DEGRADED": "The errors are larger than declared, and look like a rounding that was not declared; the reason names "
    "which. Declare it if it is meant.",
    "FAIL": "The errors are no rounding: something else was computed, or the path raised, crashed or hung.",
    "OVERFLOW": "Numbers became infinite or NaN that are finite in the reference; OVERFLOW@STAGE names where first. It "
    "is expected where the declared formats cannot hold the reference's own numbers.",
    "SATURATED": "Numbers stopped at 65,504, where the truth is larger.",
    "UNEXCUSED-FLIP": "A token goes to another expert than the reference's, and the router's rounding does "
    "not explain it.",
    "UNSUPPORTED": "The path declares that it cannot run here, or not on this input. It is no pass.",
}
MODES = {
    "isolated": "A stage fed with the reference's own input, so that only its own error is seen.",
    "chained": "A stage fed with what the path itself computed before it.",
    "property": "A question about the whole call: NaN, inputs, repeats, views, token counts.",
    "score": "A constant estimated from the result alone; see `constants`.",
}
TERMS = {
    "z": "An error divided by the spread that the declared rounding gives that number. Right paths have a root mean "
    "square of 0.9 to 1.0.",
    "ulp": "The distance between neighbouring numbers of a format: the unit in the last place.",
    "expected": "The declared formats themselves imply the verdict. Only what nobody could expect gives exit code 1; "
    "--strict counts all.",
    "declaration": "Where a path says it rounds. Every verdict is relative to it; `lets_through` in the JSON says the "
    "least shift of each constant that it would still show.",
    "constants": "The score tests: the error of the result, regressed on its derivative with respect to alpha, the "
    "clamp limits, the factors on biases and routing weights, truncation and others. t beyond 6.5 is named, with the "
    "estimate.",
    "properties": "NaN and infinity in one token, inputs left alone, repeats, a row alone, strided tokens, weights as "
    "views, small integers through the layer.",
    "token-sweep": "Every token count to 32, and powers of two, one less and one more, to 4,096, each call judged.",
    "integers": "Small integers on which every format is exact: any difference is a wrong computation.",
    "twin": "The float32 reference with random errors of the declared sizes: how a path's error should grow over "
    "depth.",
    "certificate": "A proof from weights alone that an expert cannot leave float16's range; its absence proves "
    "nothing.",
    "policy": "A mixed-precision choice people make on cards without bfloat16, judged on outlier rows.",
    "poison": "Memory given to a path holds NaN, so that what it leaves unwritten shows.",
    "isolation": "Other people's paths run in a process each, ours and libraries' in one; --isolation each gives every "
    "path its own, none gives nobody one.",
}
STAGE_WORDS = {
    "dequant": "The weights as the path holds them against the published numbers.",
    "router": "Logits, the choice of experts, and the routing weights given both.",
    "gate_up": "The first product with its bias, gate and up interleaved.",
    "swiglu": "(up + 1) * gate * sigmoid(1.702 * gate), gate clamped above at 7, up on both sides.",
    "down": "The second product with its bias, for each token and expert.",
    "combine": "The sum over a token's experts, weighted by the routing: the layer's result.",
    "residual": "The result added to the layer's input.",
}


def explain(word: str) -> list[tuple[str, str]]:
    """Return (word, what it means) for a word, or for all of a kind: verdicts, modes, regimes, stages, terms.

    Raises UsageError, with what is near, for a word that is not known.
    """
    regimes = {name: f"A kind of input: {regime.why}." for name, regime in REGIMES.items()}
    kinds = {"verdicts": VERDICTS, "modes": MODES, "regimes": regimes, "stages": STAGE_WORDS, "terms": TERMS}
    if word in kinds:
        return list(kinds[word].items())
    every = {name.lower(): (name, text) for kind in kinds.values() for name, text in kind.items()}
    found = every.get(word.lower().partition("@")[0])
    if found:
        return [found]
    near = get_close_matches(word.lower(), [*every, *kinds], 3, 0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose one, or a kind: {', '.join(kinds)}"
    raise UsageError(f"explain {word!r}: {hint}")
