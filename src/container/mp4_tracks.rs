//! Frames of several tracks as one MP4 file (ISO 14496-12): media as it comes, the index behind it. It knows nothing of where frames
//! come from, and holds a few numbers of each.

use crate::container::matroska::TrackFormat;
use crate::container::matroska_interleaved::Stream;
use crate::room::media::{Codec, MediaKind};
pub use mp4_atom::Codec as Sample;
use mp4_atom::{
    Atom, Audio, Av01, Av1c, Avc1, Avcc, Co64, Dinf, Dops, Dref, DrefEntry, Edts, Elst, ElstEntry, Encode, FourCC,
    Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mvhd, Opus, Smhd, Stbl, Stco, Stsc, StscEntry, Stsd, Stss, Stsz, StszSamples,
    Stts, SttsEntry, Tkhd, Trak, Url, Visual, Vmhd, Vp09, VpcC,
};
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::time::Duration;

/// Ticks a second of all times: those of Opus, and fine enough for pictures.
const TICKS: u32 = 48_000;
/// How long the last picture is seen.
const LAST: u32 = TICKS / 50;
/// Files that end beyond this have long addresses; the index moves in front of the media, and needs room below 4 GiB.
const SHORT: u64 = 3 << 30;

/// What a file says of the decoder of a stream; `None` where MP4 has no place for it that players know.
pub fn sample(format: &TrackFormat, first: &[u8]) -> Option<Sample> {
    let side = |side: u32| u16::try_from(side).ok();
    let size = format.size.and_then(|(width, height)| side(width).zip(side(height)));
    let visual = |(width, height)| Visual { data_reference_index: 1, width, height, ..Visual::default() };
    let mut config = format.config.as_deref().unwrap_or_default();
    match format.codec {
        Codec::H264 => {
            let avcc = Avcc::decode_body(&mut config).ok()?;
            Some(Sample::Avc1(Avc1 { visual: visual(size?), avcc, ..Avc1::default() }))
        }
        Codec::Av1 => {
            let av1c = Av1c::decode_body(&mut config).ok()?;
            Some(Sample::Av01(Av01 { visual: visual(size?), av1c, ..Av01::default() }))
        }
        Codec::Vp9 => {
            // The first bits of a frame are `10` and the profile (VP9 bitstream, 6.2): 0 has 8 bits and 4:2:0, others are seen nowhere.
            first.first().filter(|byte| **byte >> 4 == 0b1000)?;
            let unknown = 2;
            let vpcc = VpcC {
                chroma_subsampling: 1,
                color_primaries: unknown,
                transfer_characteristics: unknown,
                matrix_coefficients: unknown,
                ..VpcC::default()
            };
            Some(Sample::Vp09(Vp09 { visual: visual(size?), vpcc, ..Vp09::default() }))
        }
        Codec::Opus => {
            let channels = format.channels;
            let audio = Audio {
                data_reference_index: 1,
                channel_count: channels.into(),
                sample_size: 16,
                sample_rate: (TICKS as u16).into(),
            };
            // No pre-skip: we join a running stream, no encoder's first samples are in it.
            let dops = Dops {
                output_channel_count: channels,
                pre_skip: 0,
                input_sample_rate: TICKS,
                output_gain: 0,
                channel_mapping: None,
            };
            Some(Sample::Opus(Opus { audio, dops, btrt: None }))
        }
        Codec::Vp8 => None,
    }
}

/// A stream of the file.
struct Track {
    name: String,
    is_sound: bool,
    size: (u32, u32),
    sample: Sample,
    /// Ticks of the first frame, and of the latest.
    first: Option<u64>,
    last: u64,
    durations: Vec<SttsEntry>,
    sizes: Vec<u32>,
    places: Vec<u64>,
    /// Numbers of key frames, from 1.
    keys: Vec<u32>,
}

impl Track {
    fn add(&mut self, at: u64, place: u64, length: u32, key: bool) {
        let at = at.max(self.last);
        if self.first.is_none() {
            self.first = Some(at);
        } else {
            // What came before lasts until now.
            self.lasts(u32::try_from(at - self.last).unwrap_or(u32::MAX));
        }
        self.last = at;
        self.sizes.push(length);
        self.places.push(place);
        if key {
            self.keys.push(u32::try_from(self.sizes.len()).unwrap_or(u32::MAX));
        }
    }

    fn lasts(&mut self, sample_delta: u32) {
        match self.durations.last_mut() {
            Some(run) if run.sample_delta == sample_delta => run.sample_count += 1,
            _ => self.durations.push(SttsEntry { sample_count: 1, sample_delta }),
        }
    }

    /// Its place in the index; a stream without frames has none.
    fn index(mut self, number: u32, is_long: bool) -> Option<Trak> {
        let first = self.first?;
        self.lasts(LAST);
        let duration = self.last + u64::from(LAST) - first;
        let edit = |segment_duration, media_time| ElstEntry { segment_duration, media_time, media_rate: 1.into() };
        // A stream that begins later is preceded by nothing.
        let late = (first > 0).then(|| edit(first, None));
        let edits = Elst { entries: late.into_iter().chain([edit(duration, Some(0))]).collect() };
        let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX).into();
        let short = || self.places.iter().map(|place| u32::try_from(*place).unwrap_or(u32::MAX)).collect();
        let stbl = Stbl {
            stsd: Stsd { codecs: vec![self.sample] },
            stts: Stts { entries: self.durations },
            stss: (!self.is_sound).then_some(Stss { entries: self.keys }),
            // Every frame is a chunk: streams take turns.
            stsc: Stsc {
                entries: vec![StscEntry { first_chunk: 1, samples_per_chunk: 1, sample_description_index: 1 }],
            },
            stco: (!is_long).then(|| Stco { entries: short() }),
            co64: is_long.then_some(Co64 { entries: self.places }),
            stsz: Stsz { samples: StszSamples::Different { sizes: self.sizes } },
            ..Stbl::default()
        };
        let here = DrefEntry::Url(Url { location: String::new() });
        Some(Trak {
            tkhd: Tkhd {
                track_id: number,
                duration: first + duration,
                enabled: true,
                in_movie: true,
                volume: if self.is_sound { 1.into() } else { 0.into() },
                width: side(self.size.0),
                height: side(self.size.1),
                ..Tkhd::default()
            },
            edts: Some(Edts { elst: Some(edits) }),
            mdia: Mdia {
                mdhd: Mdhd { timescale: TICKS, duration, language: "und".into(), ..Mdhd::default() },
                hdlr: Hdlr { handler: FourCC::new(if self.is_sound { b"soun" } else { b"vide" }), name: self.name },
                minf: Minf {
                    vmhd: (!self.is_sound).then(Vmhd::default),
                    smhd: self.is_sound.then(Smhd::default),
                    dinf: Dinf { dref: Dref { entries: vec![here] } },
                    stbl,
                    ..Minf::default()
                },
            },
            ..Trak::default()
        })
    }
}

/// A file that is being written.
pub struct Writer {
    out: BufWriter<File>,
    end: u64,
    /// Where the media's box begins.
    media: u64,
    tracks: Vec<Track>,
}

impl Writer {
    /// Begins a file of streams and what is known of their decoders.
    ///
    /// # Errors
    /// The disk's.
    pub fn begin(file: File, streams: &[Stream], samples: Vec<Sample>) -> io::Result<Writer> {
        let brand = |name: &[u8; 4]| FourCC::new(name);
        let head = Ftyp {
            major_brand: brand(b"isom"),
            minor_version: 0x200,
            compatible_brands: vec![brand(b"isom"), brand(b"iso2"), brand(b"mp41")],
        };
        let mut bytes = encoded(&head)?;
        let media = bytes.len() as u64;
        // Its length, in 64 bits, is known at the end.
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(b"mdat");
        bytes.extend([0; 8]);
        let tracks = streams.iter().zip(samples).map(|(stream, sample)| Track {
            name: stream.source.word().into(),
            is_sound: stream.format.codec.kind() == MediaKind::Audio,
            size: stream.format.size.unwrap_or_default(),
            sample,
            first: None,
            last: 0,
            durations: Vec::new(),
            sizes: Vec::new(),
            places: Vec::new(),
            keys: Vec::new(),
        });
        let mut writer = Writer { out: BufWriter::new(file), end: 0, media, tracks: tracks.collect() };
        writer.append(&bytes)?;
        Ok(writer)
    }

    /// Adds a frame of a stream, numbered from 0, at `at` of the file; in a stream, no time steps back.
    ///
    /// # Errors
    /// The disk's.
    pub fn push(&mut self, stream: usize, at: Duration, key: bool, data: &[u8]) -> io::Result<()> {
        let ticks = (at.as_nanos() * u128::from(TICKS) + 500_000_000) / 1_000_000_000;
        let length = u32::try_from(data.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        let track = self.tracks.get_mut(stream).ok_or(io::ErrorKind::InvalidInput)?;
        track.add(u64::try_from(ticks).unwrap_or(u64::MAX), self.end, length, key);
        self.append(data)
    }

    /// Writes the index; says how long the file is.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(mut self) -> io::Result<Duration> {
        let media = self.end - self.media;
        let is_long = self.end > SHORT;
        let traks: Vec<Trak> =
            (1..).zip(self.tracks.drain(..)).filter_map(|(number, track)| track.index(number, is_long)).collect();
        let duration = traks.iter().map(|track| track.tkhd.duration).max().unwrap_or(0);
        let mvhd = Mvhd {
            timescale: TICKS,
            duration,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: u32::try_from(traks.len() + 1).unwrap_or(u32::MAX),
            ..Mvhd::default()
        };
        let index = encoded(&Moov { mvhd, trak: traks, ..Moov::default() })?;
        self.append(&index)?;
        self.out.seek(SeekFrom::Start(self.media + 8))?;
        self.out.write_all(&media.to_be_bytes())?;
        self.out.flush()?;
        Ok(Duration::from_nanos(u64::try_from(u128::from(duration) * 1_000_000_000 / u128::from(TICKS)).unwrap_or(0)))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

fn encoded(atom: &impl Encode) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    atom.encode(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
