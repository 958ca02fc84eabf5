//! An assembler of eBPF instructions (RFC 9669): each method appends one, jumps go to labels.
//!
//! It has the instructions that our program needs and no others. Jumps go forward only, so that every program ends.

/// A register. The kernel's convention: `R0` answers of helpers and the verdict, `R1` to `R5` arguments, which helpers
/// overwrite, `R6` to `R9` kept, `R10` the end of the stack, read only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "numbers")]
pub enum Reg {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

/// How much is loaded or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One byte.
    Byte = 0x10,
    /// Two bytes.
    Half = 0x08,
    /// Four bytes.
    Word = 0x00,
    /// Eight bytes.
    Double = 0x18,
}

/// When a jump is taken. Comparisons are unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum If {
    /// Equal.
    Equal = 0x10,
    /// Greater.
    Greater = 0x20,
    /// Not equal.
    NotEqual = 0x50,
    /// Less.
    Less = 0xa0,
}

/// What is done with a register and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alu {
    /// Add.
    Add = 0x00,
    /// Multiply.
    Multiply = 0x20,
    /// Keep the bits of either.
    Or = 0x40,
    /// Keep the common bits.
    And = 0x50,
    /// Shift to the left.
    ShiftLeft = 0x60,
    /// Shift to the right, filled with zeros.
    ShiftRight = 0x70,
    /// Keep the bits that differ.
    Xor = 0xa0,
    /// Copy.
    Move = 0xb0,
}

/// A helper function of the kernel (`enum bpf_func_id`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    /// `void *bpf_map_lookup_elem(map, key)`.
    MapLookup = 1,
}

/// One instruction as the kernel takes it (`struct bpf_insn`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Operation, width and class.
    pub code: u8,
    /// Destination and source register, one nibble each.
    pub registers: u8,
    /// Offset of a jump or an address.
    pub offset: i16,
    /// The number.
    pub immediate: i32,
}

/// A place in the program that jumps lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// Why a program cannot be assembled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// A jump leads to a label that was never placed, or back.
    #[error("a jump of instruction {0} leads nowhere")]
    Nowhere(usize),
    /// Offsets have 16 bits.
    #[error("a jump of instruction {0} is too far")]
    TooFar(usize),
}

/// A program in the making. `M` names maps, which get their numbers when they are made.
#[derive(Clone, Debug, Default)]
pub struct Assembler<M> {
    instructions: Vec<Instruction>,
    /// Where each label is.
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
    maps: Vec<(usize, M)>,
}

/// Classes (`BPF_CLASS`) and modes of instructions.
mod class {
    pub(super) const LOAD_IMMEDIATE: u8 = 0x18;
    pub(super) const LOAD: u8 = 0x01 | 0x60;
    pub(super) const STORE_IMMEDIATE: u8 = 0x02 | 0x60;
    pub(super) const STORE: u8 = 0x03 | 0x60;
    pub(super) const ALU_32: u8 = 0x04;
    pub(super) const JUMP: u8 = 0x05;
    pub(super) const JUMP_32: u8 = 0x06;
    pub(super) const ALU_64: u8 = 0x07;
    pub(super) const CALL: u8 = JUMP | 0x80;
    pub(super) const EXIT: u8 = JUMP | 0x90;
    /// Swaps bytes where the host is little-endian (`BPF_END | BPF_TO_BE`).
    pub(super) const TO_BIG_ENDIAN: u8 = ALU_32 | 0xd0 | 0x08;
    /// The operand is a register and no number (`BPF_X`).
    pub(super) const BY_REGISTER: u8 = 0x08;
}

/// The source register that says that the number names a map (`BPF_PSEUDO_MAP_FD`).
const PSEUDO_MAP: u8 = 1;

impl<M: Copy> Assembler<M> {
    /// An empty program.
    pub fn new() -> Self {
        Self { instructions: Vec::new(), labels: Vec::new(), jumps: Vec::new(), maps: Vec::new() }
    }

    fn push(&mut self, code: u8, destination: u8, source: u8, offset: i16, immediate: i32) {
        // `struct bpf_insn` has bit fields, which compilers lay out by the order of bytes.
        let registers =
            if cfg!(target_endian = "little") { destination | source << 4 } else { destination << 4 | source };
        self.instructions.push(Instruction { code, registers, offset, immediate });
    }

    /// `to = to <alu> number`, 64 bits.
    pub fn alu(&mut self, alu: Alu, to: Reg, number: i32) {
        self.push(class::ALU_64 | alu as u8, to as u8, 0, 0, number);
    }

    /// `to = to <alu> number`, 32 bits; the upper half becomes zero.
    pub fn alu32(&mut self, alu: Alu, to: Reg, number: i32) {
        self.push(class::ALU_32 | alu as u8, to as u8, 0, 0, number);
    }

    /// `to = to <alu> from`, 64 bits.
    pub fn alu_by(&mut self, alu: Alu, to: Reg, from: Reg) {
        self.push(class::ALU_64 | class::BY_REGISTER | alu as u8, to as u8, from as u8, 0, 0);
    }

    /// `to` from network order into the host's, 32 bits; the upper half becomes zero.
    pub fn to_host32(&mut self, to: Reg) {
        self.push(class::TO_BIG_ENDIAN, to as u8, 0, 0, 32);
    }

    /// `to = *(from + offset)`.
    pub fn load(&mut self, width: Width, to: Reg, from: Reg, offset: i16) {
        self.push(class::LOAD | width as u8, to as u8, from as u8, offset, 0);
    }

    /// `*(at + offset) = from`.
    pub fn store(&mut self, width: Width, at: Reg, offset: i16, from: Reg) {
        self.push(class::STORE | width as u8, at as u8, from as u8, offset, 0);
    }

    /// `*(at + offset) = number`.
    pub fn store_number(&mut self, width: Width, at: Reg, offset: i16, number: i32) {
        self.push(class::STORE_IMMEDIATE | width as u8, at as u8, 0, offset, number);
    }

    /// `to = map`.
    pub fn load_map(&mut self, to: Reg, map: M) {
        self.maps.push((self.instructions.len(), map));
        self.push(class::LOAD_IMMEDIATE, to as u8, PSEUDO_MAP, 0, 0);
        self.push(0, 0, 0, 0, 0);
    }

    /// `R0 = helper(R1, …)`.
    pub fn call(&mut self, helper: Helper) {
        self.push(class::CALL, 0, 0, 0, helper as i32);
    }

    /// Ends with the verdict in `R0`.
    pub fn exit(&mut self) {
        self.push(class::EXIT, 0, 0, 0, 0);
    }

    /// A label that is placed later.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places `label` before the next instruction.
    pub fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.instructions.len());
    }

    /// Goes to `label`.
    pub fn jump(&mut self, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.push(class::JUMP, 0, 0, 0, 0);
    }

    /// Goes to `label` if the lower 32 bits of `left` and `right` compare so.
    pub fn jump_if(&mut self, condition: If, left: Reg, right: i32, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.push(class::JUMP_32 | condition as u8, left as u8, 0, 0, right);
    }

    /// Goes to `label` if all 64 bits of `left` and `right` compare so.
    pub fn jump_if64(&mut self, condition: If, left: Reg, right: i32, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.push(class::JUMP | condition as u8, left as u8, 0, 0, right);
    }

    /// Goes to `label` if both registers compare so.
    pub fn jump_if_by(&mut self, condition: If, left: Reg, right: Reg, label: Label) {
        self.jumps.push((self.instructions.len(), label));
        self.push(class::JUMP | class::BY_REGISTER | condition as u8, left as u8, right as u8, 0, 0);
    }

    /// The program: its instructions, and which of them name which map.
    ///
    /// # Errors
    /// [`AssembleError`] of a jump that leads nowhere, back, or too far.
    pub fn finish(mut self) -> Result<Assembled<M>, AssembleError> {
        for (at, label) in self.jumps {
            let target = self.labels[label.0].filter(|target| *target > at).ok_or(AssembleError::Nowhere(at))?;
            // Offsets count from the next instruction.
            let offset = i16::try_from(target - at - 1).map_err(|_| AssembleError::TooFar(at))?;
            self.instructions[at].offset = offset;
        }
        Ok(Assembled { instructions: self.instructions, maps: self.maps })
    }
}

/// A program whose maps have names only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled<M> {
    instructions: Vec<Instruction>,
    maps: Vec<(usize, M)>,
}

impl<M: Copy> Assembled<M> {
    /// The instructions with the file descriptors of their maps.
    pub fn with_maps(&self, descriptor: impl Fn(M) -> i32) -> Vec<Instruction> {
        let mut instructions = self.instructions.clone();
        for (at, map) in &self.maps {
            instructions[*at].immediate = descriptor(*map);
        }
        instructions
    }

    /// A number that tells programs apart (FNV-1a): equal programs have equal ones, whatever their maps are.
    pub fn fingerprint(&self) -> u32 {
        let bytes = self.instructions.iter().flat_map(|instruction| {
            let Instruction { code, registers, offset, immediate } = *instruction;
            [&[code, registers][..], &offset.to_le_bytes(), &immediate.to_le_bytes()].concat()
        });
        bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_those_of_rfc_9669() {
        let mut asm = Assembler::<u8>::new();
        let end = asm.label();
        asm.load(Width::Half, Reg::R5, Reg::R7, 12);
        asm.jump_if(If::NotEqual, Reg::R5, 8, end);
        asm.load_map(Reg::R1, 7);
        asm.call(Helper::MapLookup);
        asm.place(end);
        asm.alu(Alu::Move, Reg::R0, 2);
        asm.exit();
        let found = asm.finish().unwrap().with_maps(|map| i32::from(map) + 100);
        let fields: Vec<(u8, i16, i32)> = found.iter().map(|i| (i.code, i.offset, i.immediate)).collect();
        assert_eq!(
            fields,
            [(0x69, 12, 0), (0x56, 3, 8), (0x18, 0, 107), (0, 0, 0), (0x85, 0, 1), (0xb7, 0, 2), (0x95, 0, 0)]
        );
        assert_eq!(found[0].registers, if cfg!(target_endian = "little") { 0x75 } else { 0x57 });
    }

    #[test]
    fn a_jump_that_leads_nowhere_or_back_is_refused() {
        let mut nowhere = Assembler::<u8>::new();
        let label = nowhere.label();
        nowhere.jump(label);
        assert_eq!(nowhere.finish(), Err(AssembleError::Nowhere(0)));
        let mut back = Assembler::<u8>::new();
        let label = back.label();
        back.place(label);
        back.jump(label);
        assert_eq!(back.finish(), Err(AssembleError::Nowhere(0)));
    }

    #[test]
    fn a_jump_that_is_too_far_is_refused() {
        let mut far = Assembler::<u8>::new();
        let label = far.label();
        far.jump(label);
        (0..40_000).for_each(|_| far.exit());
        far.place(label);
        far.exit();
        assert_eq!(far.finish(), Err(AssembleError::TooFar(0)));
    }
}
