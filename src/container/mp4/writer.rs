//! Writes frames of several tracks into one MP4 file: media as it comes, the index (`moov`) behind it. It does not know where
//! frames come from, and holds a few numbers of each in memory.

use crate::container::matroska::TrackFormat;
use crate::room::media::{Codec, MediaKind};
/// What an MP4 file says of a track's decoder (ISO 14496-12, 8.5.2).
pub use mp4_atom::Codec as SampleEntry;
use mp4_atom::{
    Atom, Audio, Av01, Av1c, Avc1, Avcc, Co64, Ctts, CttsEntry, Dinf, Dops, Dref, DrefEntry, Edts, Elst, ElstEntry,
    Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mvhd, Opus, Smhd, Stbl, Stco, Stsc, StscEntry, Stsd, Stss,
    Stsz, StszSamples, Stts, SttsEntry, Tkhd, Trak, Url, Visual, Vmhd, Vp09, VpcC,
};
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::time::Duration;

/// The timescale of all tracks, in ticks a second: that of Opus, and fine enough for video.
const TIMESCALE: u32 = 48_000;
/// Duration of the last frame, in ticks.
const LAST_DURATION: u32 = TIMESCALE / 50;
/// Files that end beyond this have chunk offsets of 64 bits (`co64`): 4 GiB without room for the index, which is moved to the front.
const MAX_STCO_END: u64 = 3 << 30;

/// The sample entry of a track whose first frame is `first`; `None` for codecs that players do not find in MP4 (VP8, VP9 of
/// profile 1 and above).
pub fn sample_entry(format: &TrackFormat, first: &[u8]) -> Option<SampleEntry> {
    let side = |side: u32| u16::try_from(side).ok();
    let size = format.size.and_then(|(width, height)| side(width).zip(side(height)));
    let visual = |(width, height)| Visual { data_reference_index: 1, width, height, ..Visual::default() };
    let mut config = format.config.as_deref().unwrap_or_default();
    match format.codec {
        Codec::H264 => {
            let avcc = Avcc::decode_body(&mut config).ok()?;
            Some(SampleEntry::Avc1(Avc1 { visual: visual(size?), avcc, ..Avc1::default() }))
        }
        Codec::Av1 => {
            let av1c = Av1c::decode_body(&mut config).ok()?;
            Some(SampleEntry::Av01(Av01 { visual: visual(size?), av1c, ..Av01::default() }))
        }
        Codec::Vp9 => {
            // The first bits of a frame are `10` and the profile (VP9 bitstream, 6.2): profile 0 is 8 bits and 4:2:0.
            first.first().filter(|byte| **byte >> 4 == 0b1000)?;
            let unknown = 2;
            let vpcc = VpcC {
                chroma_subsampling: 1,
                color_primaries: unknown,
                transfer_characteristics: unknown,
                matrix_coefficients: unknown,
                ..VpcC::default()
            };
            Some(SampleEntry::Vp09(Vp09 { visual: visual(size?), vpcc, ..Vp09::default() }))
        }
        Codec::Opus => {
            let channels = format.channels;
            let audio = Audio {
                data_reference_index: 1,
                channel_count: channels.into(),
                sample_size: 16,
                sample_rate: (TIMESCALE as u16).into(),
            };
            // No pre-skip: a recording begins within a stream, the encoder's first samples are not in it.
            let dops = Dops {
                output_channel_count: channels,
                pre_skip: 0,
                input_sample_rate: TIMESCALE,
                output_gain: 0,
                channel_mapping: None,
            };
            Some(SampleEntry::Opus(Opus { audio, dops, btrt: None }))
        }
        Codec::Vp8 => None,
    }
}

/// A track of the file.
struct Track {
    name: String,
    is_audio: bool,
    size: (u32, u32),
    sample_entry: SampleEntry,
    /// When each frame is shown, in ticks and in the order of decoding.
    times: Vec<u64>,
    /// The latest of these times, and that of the last key frame.
    last: u64,
    last_key: u64,
    /// Ticks until which the latest frame lasts.
    until: u64,
    sizes: Vec<u32>,
    offsets: Vec<u64>,
    /// Numbers of key frames, from 1.
    keys: Vec<u32>,
}

impl Track {
    fn add(&mut self, at: u64, offset: u64, length: u32, key: bool) {
        // Pictures may come before others that are shown earlier (B-frames), but never before the key frame that they follow.
        let at = at.max(if self.is_audio || key { self.last } else { self.last_key });
        self.last = self.last.max(at);
        self.times.push(at);
        self.sizes.push(length);
        self.offsets.push(offset);
        if key {
            self.last_key = at;
            self.keys.push(u32::try_from(self.sizes.len()).unwrap_or(u32::MAX));
        }
    }

    /// The track's `trak`; `None` without frames.
    fn trak(self, number: u32, needs_co64: bool) -> Option<Trak> {
        let Decoding { first, durations, shift, offsets: composition } = Decoding::of(&self.times)?;
        let lasts = self.until.saturating_sub(self.last).max(LAST_DURATION.into());
        let durations = runs(durations.into_iter().chain([u32::try_from(lasts).unwrap_or(u32::MAX)]));
        let duration = self.last + lasts - first;
        let edit = |segment_duration, media_time| ElstEntry { segment_duration, media_time, media_rate: 1.into() };
        // An empty edit in front of a track that begins later.
        let delay = (first > 0).then(|| edit(first, None));
        let edits = Elst { entries: delay.into_iter().chain([edit(duration, Some(shift))]).collect() };
        let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX).into();
        let short = || self.offsets.iter().map(|offset| u32::try_from(*offset).unwrap_or(u32::MAX)).collect();
        let stbl = Stbl {
            stsd: Stsd { codecs: vec![self.sample_entry] },
            stts: Stts {
                entries: durations
                    .map(|(sample_count, sample_delta)| SttsEntry { sample_count, sample_delta })
                    .collect(),
            },
            ctts: (shift > 0).then(|| Ctts {
                entries: runs(composition)
                    .map(|(sample_count, offset)| CttsEntry { sample_count, sample_offset: offset.into() })
                    .collect(),
            }),
            stss: (!self.is_audio).then_some(Stss { entries: self.keys }),
            // Every frame is a chunk: tracks are interleaved.
            stsc: Stsc {
                entries: vec![StscEntry { first_chunk: 1, samples_per_chunk: 1, sample_description_index: 1 }],
            },
            stco: (!needs_co64).then(|| Stco { entries: short() }),
            co64: needs_co64.then_some(Co64 { entries: self.offsets }),
            stsz: Stsz { samples: StszSamples::Different { sizes: self.sizes } },
            ..Stbl::default()
        };
        let same_file = DrefEntry::Url(Url { location: String::new() });
        Some(Trak {
            tkhd: Tkhd {
                track_id: number,
                duration: first + duration,
                enabled: true,
                in_movie: true,
                volume: if self.is_audio { 1.into() } else { 0.into() },
                width: side(self.size.0),
                height: side(self.size.1),
                ..Tkhd::default()
            },
            edts: Some(Edts { elst: Some(edits) }),
            mdia: Mdia {
                mdhd: Mdhd { timescale: TIMESCALE, duration, language: "und".into(), ..Mdhd::default() },
                hdlr: Hdlr { handler: FourCC::new(if self.is_audio { b"soun" } else { b"vide" }), name: self.name },
                minf: Minf {
                    vmhd: (!self.is_audio).then(Vmhd::default),
                    smhd: self.is_audio.then(Smhd::default),
                    dinf: Dinf { dref: Dref { entries: vec![same_file] } },
                    stbl,
                    ..Minf::default()
                },
            },
            ..Trak::default()
        })
    }
}

/// When the frames of a track are decoded (ISO 14496-12, 8.6.1): in steps that never go back, at the times at which frames are shown, and so
/// much earlier that none is shown before it is decoded.
struct Decoding {
    first: u64,
    /// From each frame to the next.
    durations: Vec<u32>,
    /// How much later than in the file's time line all frames are shown, which the edit list takes back.
    shift: u64,
    /// From the decoding of each frame to its showing.
    offsets: Vec<u32>,
}

impl Decoding {
    /// Of frames that are shown at these times; `None` where there are none.
    fn of(times: &[u64]) -> Option<Decoding> {
        let mut decoded = times.to_vec();
        decoded.sort_unstable();
        let first = *decoded.first()?;
        let ticks = |ticks: u64| u32::try_from(ticks).unwrap_or(u32::MAX);
        let durations = decoded.windows(2).map(|pair| ticks(pair[1] - pair[0])).collect();
        let pairs = || decoded.iter().zip(times);
        let shift = pairs().map(|(decoded, shown)| decoded.saturating_sub(*shown)).max().unwrap_or(0);
        let offsets = pairs().map(|(decoded, shown)| ticks((shown + shift).saturating_sub(*decoded))).collect();
        Some(Decoding { first, durations, shift, offsets })
    }
}

/// Runs of equal values, with their lengths.
fn runs(values: impl IntoIterator<Item = u32>) -> impl Iterator<Item = (u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((count, last)) if *last == value => *count += 1,
            _ => runs.push((1, value)),
        }
    }
    runs.into_iter()
}

/// A file that is being written.
pub struct Mp4Writer {
    out: BufWriter<File>,
    end: u64,
    /// Where the `mdat` begins.
    mdat: u64,
    tracks: Vec<Track>,
}

impl Mp4Writer {
    /// Begins an empty file: the format and the sample entry of each track.
    ///
    /// # Errors
    /// The disk's.
    pub fn new(file: File, tracks: impl IntoIterator<Item = (TrackFormat, SampleEntry)>) -> io::Result<Mp4Writer> {
        let brand = |name: &[u8; 4]| FourCC::new(name);
        let head = Ftyp {
            major_brand: brand(b"isom"),
            minor_version: 0x200,
            compatible_brands: vec![brand(b"isom"), brand(b"iso2"), brand(b"mp41")],
        };
        let mut bytes = encoded(&head)?;
        let mdat = bytes.len() as u64;
        // The `mdat`'s size, in 64 bits, is known at the end; mp4-atom writes an `mdat` only whole.
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(b"mdat");
        bytes.extend([0; 8]);
        let tracks = tracks.into_iter().map(|(format, sample_entry)| Track {
            is_audio: format.codec.kind() == MediaKind::Audio,
            size: format.size.unwrap_or_default(),
            name: format.name,
            sample_entry,
            times: Vec::new(),
            last: 0,
            last_key: 0,
            until: 0,
            sizes: Vec::new(),
            offsets: Vec::new(),
            keys: Vec::new(),
        });
        let mut writer = Mp4Writer { out: BufWriter::new(file), end: 0, mdat, tracks: tracks.collect() };
        writer.append(&bytes)?;
        Ok(writer)
    }

    /// Adds a frame of a track, numbered from 0, that is shown at `at` of the file; frames come in the order of decoding. A key frame or
    /// sound from before the track's latest frame is moved to it, any other picture to the key frame before it.
    ///
    /// # Errors
    /// The disk's.
    pub fn push(&mut self, track: usize, at: Duration, key: bool, data: &[u8]) -> io::Result<()> {
        let ticks = ticks(at);
        let length = u32::try_from(data.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        let track = self.tracks.get_mut(track).ok_or(io::ErrorKind::InvalidInput)?;
        track.add(ticks, self.end, length, key);
        self.append(data)
    }

    /// The latest frame of a track lasts until `until` of the file.
    pub fn hold(&mut self, track: usize, until: Duration) {
        if let Some(track) = self.tracks.get_mut(track) {
            track.until = track.until.max(ticks(until));
        }
    }

    /// Writes the index and returns the file's duration. The file is not synced.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(mut self) -> io::Result<Duration> {
        let mdat_size = self.end - self.mdat;
        let needs_co64 = self.end > MAX_STCO_END;
        let traks: Vec<Trak> =
            (1..).zip(self.tracks.drain(..)).filter_map(|(number, track)| track.trak(number, needs_co64)).collect();
        let duration = traks.iter().map(|track| track.tkhd.duration).max().unwrap_or(0);
        let mvhd = Mvhd {
            timescale: TIMESCALE,
            duration,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: u32::try_from(traks.len() + 1).unwrap_or(u32::MAX),
            ..Mvhd::default()
        };
        let index = encoded(&Moov { mvhd, trak: traks, ..Moov::default() })?;
        self.append(&index)?;
        self.out.seek(SeekFrom::Start(self.mdat + 8))?;
        self.out.write_all(&mdat_size.to_be_bytes())?;
        self.out.flush()?;
        Ok(Duration::from_nanos(
            u64::try_from(u128::from(duration) * 1_000_000_000 / u128::from(TIMESCALE)).unwrap_or(0),
        ))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

fn ticks(at: Duration) -> u64 {
    u64::try_from((at.as_nanos() * u128::from(TIMESCALE) + 500_000_000) / 1_000_000_000).unwrap_or(u64::MAX)
}

fn encoded(atom: &impl Encode) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    atom.encode(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
