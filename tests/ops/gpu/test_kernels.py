"""The GPU's kernels compile for NVIDIA cards, by NVIDIA's compiler, and for OpenCL, by PoCL's: neither needs a card."""
import ctypes
import importlib.util
import re
from pathlib import Path

import pytest

from sparse_ae.ops.gpu.kernels import KERNELS, WIDTH, source

# What libgpuarray's cluda.h defines of what the kernels use, for CUDA and for OpenCL.
NAMES = [("local_barrier()", "__syncthreads()", "barrier(CLK_LOCAL_MEM_FENCE)"),
         ("KERNEL", 'extern "C" __global__', "__kernel"), ("GLOBAL_MEM", "", "__global"),
         ("LOCAL_MEM", "__shared__", "__local"), ("ga_byte", "signed char", "char"), ("ga_int", "int", "int"),
         ("ga_uint", "unsigned int", "uint"), ("ga_float", "float", "float"), ("ga_double", "double", "double"),
         ("ga_size", "size_t", "ulong")]
NAMES += [("%s_%d" % (name, i), "%s.%s" % (in_cuda, axis), "get_%s(%d)" % (in_opencl, i)) for i, axis in enumerate("xy")
          for name, in_cuda, in_opencl in [("LID", "threadIdx", "local_id"), ("LDIM", "blockDim", "local_size"),
                                           ("GID", "blockIdx", "group_id"), ("GDIM", "gridDim", "num_groups")]]
CLUDA_H = "".join("#define %s %s\n" % (name, in_cuda) for name, in_cuda, _ in NAMES)
CLUDA_H_OF_OPENCL = "".join("#define %s %s\n" % (name, in_opencl) for name, _, in_opencl in NAMES)

# What a kernel is compiled for: types of numbers and of copied values, nonlinearities.
VARIANTS = [("ga_float", "ga_float", "sigmoid", "tanh"), ("ga_float", "ga_byte", "tanh", "sigmoid"),
            ("ga_double", "ga_double", "linear", "linear")]


def compilers():
    """NVIDIA's compilers, as the wheels nvidia-cuda-nvrtc bring them."""
    found = importlib.util.find_spec("nvidia")
    for folder in found.submodule_search_locations if found else []:
        for library in sorted(Path(folder).glob("**/libnvrtc.so.*")) + sorted(Path(folder).glob("**/nvrtc64_*.dll")):
            if "alt" not in library.name:
                yield ctypes.CDLL(str(library))


def compiler_for(card):
    """The first compiler that knows a card's architecture: later ones drop old cards."""
    for library in compilers():
        n = ctypes.c_int()
        library.nvrtcGetNumSupportedArchs(ctypes.byref(n))
        known = (ctypes.c_int * n.value)()
        library.nvrtcGetSupportedArchs(known)
        if int(card.rpartition("_")[2]) in list(known):
            return library
    pytest.skip("needs a compiler of NVIDIA's that knows %s: pip install nvidia-cuda-nvrtc-cu12" % card)


def compile_for(card, code):
    """The PTX of CUDA code for a card's architecture; an AssertionError with the compiler's words if there is none."""
    library, program = compiler_for(card), ctypes.c_void_p()
    headers, names = (ctypes.c_char_p * 1)(CLUDA_H.encode()), (ctypes.c_char_p * 1)(b"cluda.h")
    assert not library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernel.cu", 1, headers, names)
    options = (ctypes.c_char_p * 2)(b"--gpu-architecture=" + card.encode(), b"--Werror=all-warnings")
    failed = library.nvrtcCompileProgram(program, 1, options)
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    assert not failed, log.value.decode()
    library.nvrtcGetPTXSize(program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    library.nvrtcGetPTX(program, ptx)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return ptx.value.decode()


@pytest.mark.parametrize("card", ["compute_70", "compute_80", "compute_90"])
@pytest.mark.parametrize("name", KERNELS)
def test_compiles_for_cuda(name, card):
    for real, value, f, g in VARIANTS:
        ptx = compile_for(card, source(name, real, value, f, g))
        assert ".visible .entry %s(" % name in ptx
        # A wider constant would have a card compute in float64, at a 32nd or 64th of the speed on many.
        assert real == "ga_double" or ".f64" not in ptx
        # Rows of a factor, which a plan chooses, are loaded four numbers at a time.
        arrays = dict(KERNELS[name].arrays)
        assert ("ld.global.v4.f32" in ptx or "ld.global.nc.v4.f32" in ptx) == (
            real == "ga_float" and "plan" in arrays and ("F" in arrays or "W" in arrays))
        # 48 KB of shared memory is what each card has for a block of threads.
        assert sum(map(int, re.findall(r"\.shared .*\[(\d+)\]", ptx))) <= 48 * 1024
    with pytest.raises(AssertionError, match="error"):
        compile_for(card, source(name) + "}")


@pytest.fixture
def compile_for_opencl(tmp_path, monkeypatch):
    """A function that compiles code for OpenCL, for the first device that there is."""
    opencl = pytest.importorskip("pyopencl", reason="needs OpenCL: pip install 'pyopencl[pocl]'")
    monkeypatch.setenv("POCL_CACHE_DIR", str(tmp_path))
    try:
        device = opencl.get_platforms()[0].get_devices()[0]
    except (opencl.LogicError, IndexError):
        pytest.skip("pyopencl finds no device of OpenCL: pip install 'pyopencl[pocl]'")
    context = opencl.Context([device])

    def compile_code(code):
        code = code.replace('#include "cluda.h"', CLUDA_H_OF_OPENCL)
        return opencl.Program(context, code).build("-Werror", cache_dir=False)

    return compile_code


@pytest.mark.parametrize("name", KERNELS)
def test_compiles_for_opencl(name, compile_for_opencl):
    """Some words of its C are none of CUDA's: `half` is a type."""
    for variant in VARIANTS:
        assert compile_for_opencl(source(name, *variant)).kernel_names == name
    with pytest.raises(Exception, match="clBuildProgram failed"):
        compile_for_opencl(source(name) + "void function(int half) {}")


def test_what_the_records_of_kernels_say():
    for kernel in KERNELS.values():
        assert WIDTH * kernel.height <= 1024  # threads that each card has
        written = {name for name, _ in kernel.arrays if re.search(r"\b%s\[[^=;]*\] [+*]?= " % name, kernel.body)}
        assert written == {name for name, _ in kernel.arrays[-kernel.n_out:]}
