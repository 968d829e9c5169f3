"""The engine `transformers`: exactly what the installed version's `apply_chat_template` gives."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

from conformance.engines.base import Engine, Outcome, Request, SyntaxProblem, register
from conformance.engines.jinja_common import SPECIAL_TOKENS, FrozenClock, compile_problem, failed, rendered
from conformance.errors import UnjudgedError


class InstalledTransformers(Engine):
    """What every engine made of transformers says of the installed package."""

    def version(self) -> str:
        """Return the installed version of transformers."""
        return version("transformers")

    def available(self) -> str | None:
        """Return how to install transformers when it is missing."""
        try:
            version("transformers")
        except PackageNotFoundError:
            return "transformers is not installed: pip install transformers"
        return None


@register
class TransformersEngine(InstalledTransformers):
    """Calls transformers' own `apply_chat_template(tokenize=False)` for a tokenizer that knows no vocabulary.

    The method is the installed version's, with all it does before the template runs: 5.23 drops message keys
    whose value is None, fills `thinking` and `reasoning_content` from each other, and rebuilds every input
    from plain JSON types; other versions do other things. Passed along are, as the gpt-oss tokenizers do,
    `bos_token` `<|startoftext|>`, `eos_token` `<|return|>` and `pad_token` `<|endoftext|>`. Only the clock is
    ours.
    """

    name: ClassVar[str] = "transformers"
    # What apply_chat_template is called with beside the request.
    options: ClassVar[dict[str, Any]] = {"tokenize": False}

    def __init__(self) -> None:
        self._clock = FrozenClock()
        self._apply: Callable[..., Any] = _not_loaded
        self._compile: Callable[[str], Any] = _not_loaded

    def load(self) -> None:
        """Import transformers' chat template code, without torch.

        Raises UnjudgedError when the installed version keeps it elsewhere.
        """
        try:
            from transformers.tokenization_utils_base import PreTrainedTokenizerBase
            from transformers.utils.chat_template_utils import _compile_jinja_template
        except ImportError as error:
            raise UnjudgedError(
                f"The engine transformers does not understand the installed version {self.version()} "
                f"({error}); install transformers 5."
            ) from None

        self._apply = self.tokenizer(PreTrainedTokenizerBase).apply_chat_template
        self._compile = _compile_jinja_template
        # The first rendering imports more (numpy's and Jinja's lazy parts); later it would count as the
        # template's.
        probe = Request([{"role": "user", "content": "x"}], None, {}, False, "2024-02-29")
        answer = self.render("{{ strftime_now('%Y-%m-%d') }} {{ messages[0].content }}", probe)
        if answer != rendered("2024-02-29 x"):
            raise UnjudgedError(
                f"The engine transformers cannot freeze the clock of the installed version {self.version()} "
                f"(a probe gave {answer}); install transformers 5."
            )
        self.render("{{ raise_exception('x') }}", probe)

    def tokenizer(self, base: type[Any]) -> Any:
        """Return a tokenizer, of a subclass of transformers' own base class, that knows no vocabulary."""

        class Tokenizer(base):  # type: ignore[misc]
            special_tokens_map = SPECIAL_TOKENS
            chat_template = None

            def __init__(self) -> None:
                """Leave out everything that needs a vocabulary: rendering to text does not."""

        return Tokenizer()

    def outcome(self, text: object) -> Outcome:
        """Return the outcome of a rendering that came to its end."""
        return rendered(text)

    def compile_check(self, template: str) -> SyntaxProblem | None:
        """Return what keeps transformers from compiling the template, or None."""
        return compile_problem(self._compile, template)

    def render(self, template: str, request: Request) -> Outcome:
        """Render one request as a tokenizer would.

        Raises MemoryError when the worker's limit is reached.
        """
        self._clock.set(request.moment)
        try:
            # transformers keeps compiled templates in a cache (and may drop them): set the clock on each
            # call.
            self._compile(template).globals["strftime_now"] = self._clock.strftime_now
            text = self._apply(
                request.messages,
                tools=request.tools,
                chat_template=template,
                add_generation_prompt=request.add_generation_prompt,
                **self.options,
                **request.kwargs,
            )
        except MemoryError:
            raise
        except Exception as error:
            return failed(error)
        return self.outcome(text)


def _not_loaded(*_: Any, **__: Any) -> Any:
    raise RuntimeError("load() was not called")
