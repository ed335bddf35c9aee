//! Capture files (pcapng, draft-ietf-opsawg-pcapng): one section, an interface block per port, nanosecond times; must not
//! know what the frames mean.
//!
//! The writer makes little-endian sections; the reader takes those and refuses everything else, without panic.

use std::io::{self, Read, Write};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const LINKTYPE_ETHERNET: u32 = 1;
const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
const OPT_IF_NAME: u16 = 2;
const OPT_IF_TSRESOL: u16 = 9;
const OPT_EPB_FLAGS: u16 = 2;
const INBOUND: u32 = 1;
const NANOSECONDS: u8 = 9;
/// No block of ours is longer; a length beyond it is not believed.
const BLOCK_MAX: u32 = 1 << 20;

/// One captured frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The interface block it belongs to.
    pub interface: usize,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Its length on the wire.
    pub length: u32,
    /// What was kept of it, from the destination address on.
    pub bytes: Vec<u8>,
}

/// A whole file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capture {
    /// The section's comment.
    pub comment: String,
    /// The interfaces' names, in order.
    pub interfaces: Vec<String>,
    /// In the order of the file.
    pub packets: Vec<Packet>,
}

/// Writes a file from its start on.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Writes the section header and one Ethernet interface block per name.
    ///
    /// # Errors
    /// Those of `out`, and `InvalidInput` for a comment or name over 65535 bytes.
    pub fn new(
        mut out: W,
        comment: &str,
        interfaces: &[&str],
        snap_length: u32,
    ) -> io::Result<Self> {
        let mut body = Vec::new();
        body.extend(BYTE_ORDER.to_le_bytes());
        body.extend(1u16.to_le_bytes());
        body.extend(0u16.to_le_bytes());
        body.extend(u64::MAX.to_le_bytes());
        option(&mut body, OPT_COMMENT, comment.as_bytes())?;
        option(&mut body, OPT_END, &[])?;
        block(&mut out, SECTION, &body)?;
        for name in interfaces {
            let mut body = Vec::new();
            body.extend(LINKTYPE_ETHERNET.to_le_bytes());
            body.extend(snap_length.to_le_bytes());
            option(&mut body, OPT_IF_NAME, name.as_bytes())?;
            option(&mut body, OPT_IF_TSRESOL, &[NANOSECONDS])?;
            option(&mut body, OPT_END, &[])?;
            block(&mut out, INTERFACE, &body)?;
        }
        Ok(Self { out })
    }

    /// Appends a frame, marked as inbound.
    ///
    /// # Errors
    /// Those of the output, and `InvalidInput` for an interface or frame that does not fit the format.
    pub fn packet(&mut self, packet: &Packet) -> io::Result<()> {
        let kept = u32::try_from(packet.bytes.len()).map_err(invalid)?;
        let mut body = Vec::with_capacity(packet.bytes.len() + 40);
        body.extend(
            u32::try_from(packet.interface)
                .map_err(invalid)?
                .to_le_bytes(),
        );
        // The high half comes first, each half in the section's byte order (section 4.3).
        let [a, b, c, d, high @ ..] = packet.time.to_le_bytes();
        body.extend(high);
        body.extend([a, b, c, d]);
        body.extend(kept.to_le_bytes());
        body.extend(packet.length.to_le_bytes());
        body.extend(&packet.bytes);
        pad(&mut body);
        option(&mut body, OPT_EPB_FLAGS, &INBOUND.to_le_bytes())?;
        option(&mut body, OPT_END, &[])?;
        block(&mut self.out, PACKET, &body)
    }

    /// Hands everything to the output and gives it back.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

fn invalid<E: Into<Box<dyn std::error::Error + Send + Sync>>>(error: E) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) -> io::Result<()> {
    let length = u16::try_from(value.len()).map_err(invalid)?;
    body.extend(code.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(value);
    pad(body);
    Ok(())
}

fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let total = u32::try_from(body.len() + 12).map_err(invalid)?;
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&total.to_le_bytes())?;
    out.write_all(body)?;
    out.write_all(&total.to_le_bytes())
}

/// Reads a file that [`Writer`] made.
///
/// # Errors
/// `InvalidData` for anything else than such a file, `UnexpectedEof` for a torn one, and those of the input.
pub fn read(mut input: impl Read) -> io::Result<Capture> {
    let mut capture = Capture::default();
    let mut first = true;
    while let Some((kind, body)) = next_block(&mut input)? {
        if first != (kind == SECTION) {
            return Err(bad("a section header must come first, and once"));
        }
        first = false;
        match kind {
            SECTION => capture.comment = section(&body).ok_or_else(|| bad("section header"))?,
            INTERFACE => capture
                .interfaces
                .push(interface(&body).ok_or_else(|| bad("interface block"))?),
            PACKET => capture
                .packets
                .push(packet(&body, capture.interfaces.len()).ok_or_else(|| bad("packet block"))?),
            _ => {}
        }
    }
    if first {
        Err(bad("no section header"))
    } else {
        Ok(capture)
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("pcapng: {what}"))
}

fn next_block(input: &mut impl Read) -> io::Result<Option<(u32, Vec<u8>)>> {
    let mut head = [0; 8];
    let got = input.read(&mut head)?;
    if got == 0 {
        return Ok(None);
    }
    input.read_exact(&mut head[got..])?;
    let [k0, k1, k2, k3, l @ ..] = head;
    let (kind, total) = (u32::from_le_bytes([k0, k1, k2, k3]), u32::from_le_bytes(l));
    if !(12..=BLOCK_MAX).contains(&total) || total % 4 != 0 {
        return Err(bad("block length"));
    }
    let mut body = vec![0; total as usize - 8];
    input.read_exact(&mut body)?;
    let tail = body.split_off(body.len() - 4);
    if tail != total.to_le_bytes() {
        return Err(bad("block lengths differ"));
    }
    Ok(Some((kind, body)))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// The value of an option in the list that starts `options`.
fn find(mut options: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (head, rest) = options.split_first_chunk::<4>()?;
        let code = u16::from_le_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_le_bytes([head[2], head[3]]));
        if code == OPT_END {
            return None;
        }
        let value = rest.get(..length)?;
        if code == wanted {
            return Some(value);
        }
        options = rest.get(length.next_multiple_of(4)..)?;
    }
}

fn section(body: &[u8]) -> Option<String> {
    (le32(body, 0)? == BYTE_ORDER).then_some(())?;
    let comment = find(body.get(16..)?, OPT_COMMENT).unwrap_or_default();
    String::from_utf8(comment.to_vec()).ok()
}

fn interface(body: &[u8]) -> Option<String> {
    let options = body.get(8..)?;
    (find(options, OPT_IF_TSRESOL) == Some(&[NANOSECONDS])).then_some(())?;
    String::from_utf8(find(options, OPT_IF_NAME)?.to_vec()).ok()
}

fn packet(body: &[u8], interfaces: usize) -> Option<Packet> {
    let interface = usize::try_from(le32(body, 0)?)
        .ok()
        .filter(|index| *index < interfaces)?;
    let time = u64::from(le32(body, 4)?) << 32 | u64::from(le32(body, 8)?);
    let kept = usize::try_from(le32(body, 12)?).ok()?;
    let bytes = body.get(20..)?.get(..kept)?.to_vec();
    Some(Packet {
        interface,
        time,
        length: le32(body, 16)?,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample() -> Capture {
        let packet = |interface, time, bytes: &[u8]| Packet {
            interface,
            time,
            length: 1500,
            bytes: bytes.to_vec(),
        };
        Capture {
            comment: "{\"event\":\"kill\"}".into(),
            interfaces: vec!["client".into(), "a".into(), "b".into()],
            packets: vec![
                packet(0, 1_700_000_000_123_456_789, &[1, 2, 3, 4, 5]),
                packet(2, u64::MAX, &[]),
                packet(1, 0xffff_ffff_0000_0001, &[9; 64]),
            ],
        }
    }

    fn written(capture: &Capture) -> Vec<u8> {
        let names: Vec<&str> = capture.interfaces.iter().map(String::as_str).collect();
        let mut writer = Writer::new(Vec::new(), &capture.comment, &names, 256).unwrap();
        for packet in &capture.packets {
            writer.packet(packet).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&written(&sample())[..]).unwrap(), sample());
    }

    #[test]
    fn a_torn_or_damaged_file_is_an_error_and_never_a_panic() {
        let whole = written(&sample());
        for end in 0..whole.len() {
            let _ = read(&whole[..end]);
            let mut damaged = whole.clone();
            damaged[end] ^= 0x81;
            let _ = read(&damaged[..]);
        }
        assert!(read(&whole[..whole.len() - 1]).is_err());
        assert!(read(&b""[..]).is_err());
        assert!(read(&[0xff; 64][..]).is_err());
    }
}
