//! The search in the tree of blocked sources ([`crate::tree`]) as instructions.
//!
//! A node is read without branches: whether a source `x` reaches a boundary `b` is the carry of `x + 1` and the inverted
//! `b`, and the carries are counted. So each level costs the same whatever the source is, no jump is mispredicted, and the
//! kernel's verifier has one way to follow.

use crate::asm::{Alu, If, Label, Reg, Width};
use crate::program::{Asm, KEY, MapName, lookup};
use crate::tree::{Bits, Shape};
use Reg::{R0, R1, R2, R3, R4, R5, R6, R7, R9, R10};
use Width::{Double, Word};

/// Where the lower half of what is looked for stands on the stack.
const LOWER: i16 = -32;

/// Goes on when the source at `R7 + source` is in the tree of `map`. Overwrites `R6` and `R9`.
pub(crate) fn blocked(asm: &mut Asm, map: MapName, shape: Shape, source: i16, pass: Label) {
    what(asm, shape.bits, source, pass);
    asm.store_number(Word, R10, KEY, 0);
    asm.load_map(R1, map);
    lookup(asm, pass);
    asm.alu_by(Alu::Move, R9, R0);
    let levels = shape.levels();
    let children = shape.bits.keys() as i32 + 1;
    for (level, next) in levels.iter().zip(levels.iter().skip(1).map(Some).chain([None])) {
        asm.alu_by(Alu::Move, R1, R9);
        lookup(asm, pass);
        reached(asm, shape.bits);
        if let Some(next) = next {
            // The child: behind those of the nodes before.
            asm.load(Word, R1, R10, KEY);
            asm.alu(Alu::Multiply, R1, children);
            asm.alu(Alu::Add, R1, next.first as i32 - children * level.first as i32);
            asm.alu_by(Alu::Add, R1, R2);
            asm.store(Word, R10, KEY, R1);
        }
    }
    asm.alu(Alu::And, R2, 1);
    asm.jump_if(If::Equal, R2, 0, pass);
}

/// Leaves the key after that of the source in `R6`, of 128 bits its lower half on the stack.
///
/// There is none after the last key. Its source passes by the numbers: 2 to the power of 32 reaches all keys of a node, an
/// even number, and the sum of 64 bits becomes 0 and reaches none. With 128 bits the same sources pass as with 64.
fn what(asm: &mut Asm, bits: Bits, source: i16, pass: Label) {
    if bits == Bits::B32 {
        asm.load(Word, R6, R7, source);
        asm.to_host32(R6);
        return asm.alu(Alu::Add, R6, 1);
    }
    double(asm, R6, source);
    if bits == Bits::B64 {
        return asm.alu(Alu::Add, R6, 1);
    }
    asm.jump_if64(If::Equal, R6, -1, pass);
    let done = asm.label();
    double(asm, R5, source + 8);
    asm.alu(Alu::Add, R5, 1);
    asm.store(Double, R10, LOWER, R5);
    asm.jump_if64(If::NotEqual, R5, 0, done);
    asm.alu(Alu::Add, R6, 1);
    asm.place(done);
}

/// Eight bytes of the packet in the host's order: a packet may have them at any multiple of four.
fn double(asm: &mut Asm, to: Reg, offset: i16) {
    asm.load(Word, to, R7, offset);
    asm.to_host32(to);
    asm.alu(Alu::ShiftLeft, to, 32);
    asm.load(Word, R2, R7, offset + 4);
    asm.to_host32(R2);
    asm.alu_by(Alu::Or, to, R2);
}

/// Leaves in `R2` how many keys of the node at `R0` the source reaches.
fn reached(asm: &mut Asm, bits: Bits) {
    if bits == Bits::B128 {
        asm.load(Double, R5, R10, LOWER);
    }
    asm.alu(Alu::Move, R2, 0);
    for key in 0..bits.keys() {
        let offset = (key * bits.key_len()) as i16;
        match bits {
            Bits::B32 => {
                asm.load(Word, R3, R0, offset);
                asm.alu_by(Alu::Add, R3, R6);
                asm.alu(Alu::ShiftRight, R3, 32);
            }
            Bits::B64 => {
                asm.load(Double, R3, R0, offset);
                carry(asm, R3, R4, R6);
            }
            Bits::B128 => {
                asm.load(Double, R3, R0, offset + 8);
                carry(asm, R3, R4, R5);
                asm.load(Double, R4, R0, offset);
                carry_with(asm, [R4, R1, R3], R6);
                asm.alu_by(Alu::Move, R3, R4);
            }
        }
        asm.alu_by(Alu::Add, R2, R3);
    }
}

/// `to` = the carry of `to + other`: the upper bit of half the sum.
fn carry(asm: &mut Asm, to: Reg, free: Reg, other: Reg) {
    asm.alu_by(Alu::Move, free, to);
    asm.alu_by(Alu::And, free, other);
    asm.alu_by(Alu::Xor, to, other);
    asm.alu(Alu::ShiftRight, to, 1);
    asm.alu_by(Alu::Add, to, free);
    asm.alu(Alu::ShiftRight, to, 63);
}

/// `to` = the carry of `to + other + before`, where `before` is a carry, and overwritten.
fn carry_with(asm: &mut Asm, [to, free, before]: [Reg; 3], other: Reg) {
    asm.alu_by(Alu::Move, free, to);
    asm.alu_by(Alu::And, free, other);
    asm.alu_by(Alu::Xor, to, other);
    asm.alu_by(Alu::And, before, to);
    asm.alu(Alu::ShiftRight, to, 1);
    asm.alu_by(Alu::Add, to, free);
    asm.alu_by(Alu::Add, to, before);
    asm.alu(Alu::ShiftRight, to, 63);
}
