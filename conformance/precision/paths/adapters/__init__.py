"""Ready adapters to other people's kernels, imported only when they are named: `--kernel triton_kernels`."""

from __future__ import annotations

from conformance.errors import UsageError
from conformance.precision.paths.base import PrecisionPath
from conformance.precision.paths.kernel import kernel_path

HERE = "conformance.precision.paths.adapters"
ADAPTERS = {
    "triton_kernels": f"{HERE}.triton_kernels:moe",
    "triton_kernels-fused": f"{HERE}.triton_kernels:fused_moe",
    "transformers-mxfp4": f"{HERE}.transformers_mxfp4:dequantised",
    "vllm-fused_moe": f"{HERE}.vllm_fused_moe:fused_moe",
    "flashinfer": f"{HERE}.flashinfer_moe:fused_moe",
}


def named_kernel(spec: str, declared: dict[str, str]) -> PrecisionPath:
    """Return the path of an adapter's name, or of `FILE.py:FUNCTION` or `package.module:function`.

    Raises UsageError for anything else.
    """
    if spec not in ADAPTERS and ":" not in spec:
        raise UsageError(
            f"--kernel {spec!r}: write FILE.py:FUNCTION, package.module:function, or one of {', '.join(ADAPTERS)}"
        )
    return kernel_path(spec, declared, ADAPTERS.get(spec))
