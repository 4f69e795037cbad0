import { crc32, deflateRawSync } from "node:zlib";

export interface ZipMember {
  readonly path: string;
  readonly content: Buffer;
  /** Length that the archive claims; default the true one. */
  readonly claimedLength?: number;
}

const VERSION_NEEDED = 20;
const DEFLATE = 8;

/** A zip archive (PKWARE APPNOTE 6.3) with deflated members, as wheels are. */
export function writeZip(members: readonly ZipMember[]): Buffer {
  const locals: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const member of members) {
    const local = localEntry(member);
    directory.push(directoryEntry(member, offset));
    locals.push(local);
    offset += local.length;
  }
  const directoryBytes = Buffer.concat(directory);
  return Buffer.concat([...locals, directoryBytes, endRecord(members.length, directoryBytes.length, offset)]);
}

function localEntry(member: ZipMember): Buffer {
  const signature = words([0x04034b50]);
  return Buffer.concat([
    signature,
    commonFields(member),
    Buffer.from(member.path),
    deflateRawSync(member.content),
  ]);
}

function directoryEntry(member: ZipMember, offset: number): Buffer {
  const head = Buffer.concat([words([0x02014b50]), halves([VERSION_NEEDED]), commonFields(member)]);
  const tail = Buffer.concat([halves([0, 0, 0]), words([0, offset])]);
  return Buffer.concat([head, tail, Buffer.from(member.path)]);
}

/** From "version needed" to "extra field length", alike in both places. */
function commonFields({ path, content, claimedLength = content.length }: ZipMember): Buffer {
  return Buffer.concat([
    halves([VERSION_NEEDED, 0, DEFLATE, 0, 0]),
    words([crc32(content), deflateRawSync(content).length, claimedLength]),
    halves([Buffer.byteLength(path), 0]),
  ]);
}

function endRecord(count: number, directoryLength: number, directoryOffset: number): Buffer {
  return Buffer.concat([
    words([0x06054b50]),
    halves([0, 0, count, count]),
    words([directoryLength, directoryOffset]),
    halves([0]),
  ]);
}

function words(values: readonly number[]): Buffer {
  return Buffer.from(new Uint32Array(values).buffer);
}

function halves(values: readonly number[]): Buffer {
  return Buffer.from(new Uint16Array(values).buffer);
}
