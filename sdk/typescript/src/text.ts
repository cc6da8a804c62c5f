/** UTF-8. The engine inside a plugin brings no `TextEncoder` and no `TextDecoder`. */

/** The text in UTF-8; half of a surrogate pair becomes U+FFFD. */
export function encodeText(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 3);
  let end = 0;
  for (let at = 0; at < text.length; at++) {
    let point = text.codePointAt(at)!;
    if (point < 0x80) {
      bytes[end++] = point;
      continue;
    }
    if (point > 0xffff) at++;
    else if (point >= 0xd800 && point <= 0xdfff) point = 0xfffd;
    if (point < 0x800) {
      bytes[end++] = 0xc0 | (point >> 6);
    } else {
      if (point < 0x10000) {
        bytes[end++] = 0xe0 | (point >> 12);
      } else {
        bytes[end++] = 0xf0 | (point >> 18);
        bytes[end++] = 0x80 | ((point >> 12) & 0x3f);
      }
      bytes[end++] = 0x80 | ((point >> 6) & 0x3f);
    }
    bytes[end++] = 0x80 | (point & 0x3f);
  }
  return bytes.slice(0, end);
}

/** The text of UTF-8 bytes; what is no UTF-8 becomes U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  let text = "";
  let ascii = 0;
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at]!;
    if (first < 0x80) {
      at++;
      ascii++;
      continue;
    }
    text += plain(bytes, at - ascii, at);
    ascii = 0;
    // How many bytes follow, and the smallest point that needs so many.
    const [more, least] = first < 0xc2 ? [0, 0] : first < 0xe0 ? [1, 0x80] : first < 0xf0 ? [2, 0x800] : [3, 0x10000];
    let point = first & (0x3f >> more);
    let seen = 0;
    while (seen < more && ((bytes[at + 1 + seen] ?? 0) & 0xc0) === 0x80) {
      point = (point << 6) | (bytes[at + 1 + seen]! & 0x3f);
      seen++;
    }
    at += 1 + seen;
    const whole = more > 0 && first < 0xf5 && seen === more && point >= least && point <= 0x10ffff;
    text += String.fromCodePoint(whole && (point < 0xd800 || point > 0xdfff) ? point : 0xfffd);
  }
  return text + plain(bytes, bytes.length - ascii, bytes.length);
}

/** Characters handed over at once: the engine bounds the arguments of a call. */
const PIECE_BYTES = 4096;

function plain(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let at = start; at < end; at += PIECE_BYTES) {
    text += String.fromCharCode(...bytes.subarray(at, Math.min(end, at + PIECE_BYTES)));
  }
  return text;
}
