// The part of dns-packet that message.ts and its tests use; the package has no types of its own.

declare module 'dns-packet' {
  interface Decoder {
    decode: ((buf: Buffer, offset: number) => unknown) & { bytes: number }
  }
  const packet: {
    encode(message: unknown): Buffer
    decode(buf: Buffer): {
      id: number
      flags: number
      questions: { name: string; type: string }[]
      additionals: { type: string; udpPayloadSize?: number }[]
    }
    record(type: string): Decoder
    name: Decoder
  }
  export default packet
}
