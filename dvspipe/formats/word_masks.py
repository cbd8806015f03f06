"""Masks of 16-bit words for compiled loops: one bit per word, from a few vector instructions.

The compiler does not turn a loop over words into such a mask. Bits are counted in one instruction.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

MASK_WORDS = 64
_WORDS = ir.VectorType(ir.IntType(16), MASK_WORDS)
_NO_WORDS = ir.Constant(_WORDS, ir.Undefined)


@intrinsic
def find_words(_context: Any, words: Any, start: Any, field: Any, first: Any, count: Any) -> Any:
    """Find the words with `first` <= word & `field` < `first + count`; bit k is for the word `start` + k.

    Args:
        words: Contiguous uint16 array; the caller checks that it has MASK_WORDS words after `start`.
        start: Unsigned index.
        field: Bits to compare, uint16.
        first: Smallest value, uint16.
        count: Number of values, uint16; their sum is at most 2^16.
    """

    def build(target: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        array = cgutils.create_struct_proxy(signature.args[0])(target, builder, arguments[0])
        place = builder.bitcast(builder.gep(array.data, [arguments[1]]), _WORDS.as_pointer())
        bits, least, values = (_repeat(builder, number) for number in arguments[2:])
        offsets = builder.sub(builder.and_(builder.load(place, align=1), bits), least)
        return builder.bitcast(builder.icmp_unsigned("<", offsets, values), ir.IntType(MASK_WORDS))

    return types.uint64(words, start, field, first, count), build


def _repeat(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    one = builder.insert_element(_NO_WORDS, number, ir.IntType(32)(0))
    return builder.shuffle_vector(one, _NO_WORDS, ir.Constant(ir.VectorType(ir.IntType(32), MASK_WORDS), None))


@intrinsic
def lowest_bit(_context: Any, _mask: Any) -> Any:
    """Return the position of the lowest set bit of a mask, uint64; 64 if there is none."""
    return types.uint64(types.uint64), lambda _target, builder, _signature, mask: builder.cttz(
        mask[0], ir.IntType(1)(0)
    )


@intrinsic
def highest_bit(_context: Any, _mask: Any) -> Any:
    """Return the position of the highest set bit of a mask, uint64; 2^64 - 1 if there is none."""

    def build(_target: Any, builder: ir.IRBuilder, _signature: Any, mask: Any) -> ir.Value:
        return builder.sub(ir.IntType(64)(63), builder.ctlz(mask[0], ir.IntType(1)(0)))

    return types.uint64(types.uint64), build
