// The one door to iced-x86 (encoder, opcode metadata). A browser bundle aliases the package here if its loader must differ.
export {
  Code,
  CodeExt,
  Decoder,
  DecoderOptions,
  Encoder,
  Instruction,
  MemorySize,
  MemorySizeExt,
  Mnemonic,
  OpCodeOperandKind,
  OpKind,
  Register,
} from 'iced-x86'
