"""Where the models run: one check for a device, whoever names it."""

import torch


def check_device(device: str | torch.device) -> torch.device:
    """A device that this machine has: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; or ``"meta"``, shapes alone."""
    allowed = ["cpu"]
    if torch.cuda.is_available():
        allowed += ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        allowed.append("mps")
    if str(device) not in (*allowed, "meta"):
        raise ValueError(f"device must be one of {', '.join(allowed)} on this machine, got {str(device)!r}")
    return torch.device(device)


#: Number formats of the networks; similarities, masks, softmax, cosines and stitching are float32 under each.
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions that multiply bfloat16 (AVX-512 BF16 or AMX), which oneDNN uses."""
    if hasattr(torch.cpu, "get_capabilities"):
        has = torch.cpu.get_capabilities()
    else:  # PyTorch 2.6 has a function for each set of instructions
        has = {"avx512_bf16": torch.cpu._is_avx512_bf16_supported(), "amx_bf16": torch.cpu._is_amx_tile_supported()}
    return bool(torch.backends.mkldnn.is_available() and (has.get("avx512_bf16") or has.get("amx_bf16")))


def check_dtype(dtype: str | torch.dtype, device: str | torch.device) -> torch.dtype:
    """The number format in which the networks run on a device; ``ValueError`` if it would be slower than float32 there.

    ``"float32"``, ``"float16"``, ``"bfloat16"`` or ``"auto"``: float16 on a GPU, bfloat16 on a CPU that multiplies it,
    else float32.
    """
    kind, name = torch.device(device).type, str(dtype).removeprefix("torch.")
    if name == "auto":
        name = {"cuda": "float16", "cpu": "bfloat16" if multiplies_bfloat16() else "float32"}.get(kind, "float32")
    if name not in DTYPES:
        raise ValueError(f"dtype must be auto, float32, float16 or bfloat16, got {dtype}")
    if kind == "cpu" and name == "float16":
        raise ValueError("float16 needs a GPU; on the CPU the dtype is float32, or bfloat16 if the CPU multiplies it")
    if kind == "cpu" and name == "bfloat16" and not multiplies_bfloat16():
        raise ValueError("bfloat16 is slower than float32 on this CPU, which has no instructions that multiply it "
                         "(AVX-512 BF16 or AMX)")
    return DTYPES[name]
