//! One media section of a description: its lines as typed values.

use super::{HeaderExtension, PayloadFormat, Section, SetupRole, attribute, direction, named, pair, replace_direction};
use crate::room::media::{Codec, Direction, MediaKind};
use sdp_types::{Attribute, Media};

impl Section {
    /// Audio or video; none for data channels and others.
    pub fn kind(&self) -> Option<MediaKind> {
        match self.0.media.as_str() {
            "audio" => Some(MediaKind::Audio),
            "video" => Some(MediaKind::Video),
            _ => None,
        }
    }
    /// Whether it describes data channels (RFC 8841).
    pub fn is_application(&self) -> bool {
        self.0.media == "application"
    }
    /// Whether it describes data channels over DTLS (RFC 8841), and not another application.
    pub fn is_data_channels(&self) -> bool {
        self.is_application() && self.0.fmt.trim() == "webrtc-datachannel"
    }
    /// The port; 0 refuses the section, or bundles it in an offer (RFC 9143 7.1).
    pub fn port(&self) -> u16 {
        self.0.port
    }
    /// Its first line.
    pub fn media_line(&self) -> String {
        let Media { media, port, num_ports, proto, fmt, .. } = &self.0;
        let ports = num_ports.map(|number| format!("/{number}")).unwrap_or_default();
        format!("m={media} {port}{ports} {proto} {fmt}")
    }
    /// Its transport (`UDP/TLS/RTP/SAVPF`).
    pub fn protocol(&self) -> &str {
        &self.0.proto
    }
    /// Sets its transport.
    pub fn set_protocol(&mut self, protocol: &str) {
        protocol.clone_into(&mut self.0.proto);
    }
    /// Its name (`a=mid`, RFC 5888 4).
    pub fn mid(&self) -> Option<&str> {
        self.value("mid").map(str::trim)
    }
    /// The direction that it gives; none: `sendrecv`, or what the session gives.
    pub fn direction(&self) -> Option<Direction> {
        direction(&self.0.attributes)
    }
    /// Sets the direction where it is `from`.
    pub fn replace_direction(&mut self, from: Direction, to: Direction) {
        replace_direction(&mut self.0.attributes, from, to);
    }
    /// Media stream id and track id (`a=msid`, RFC 8830 2); the second is often left out.
    pub fn msid(&self) -> Option<(&str, Option<&str>)> {
        let mut ids = self.value("msid")?.split_ascii_whitespace();
        Some((ids.next().unwrap_or_default(), ids.next()))
    }
    /// The same where only its sources tell it (`a=ssrc:… msid:`, RFC 8830 draft 05), as the value of an `a=msid`.
    pub fn source_msid(&self) -> Option<&str> {
        self.values("ssrc").find_map(|value| Some(value.split_once(" msid:")?.1.trim()))
    }
    /// Its payload types as they stand in the first line, best first.
    pub fn formats(&self) -> impl Iterator<Item = &str> {
        self.0.fmt.split_ascii_whitespace()
    }
    /// The encoding of one of its formats, for example `VP8` (`a=rtpmap`).
    pub fn encoding_name(&self, format: &str) -> Option<&str> {
        self.values("rtpmap")
            .find_map(|map| map.split_once(' ').filter(|(of, _)| *of == format))
            .and_then(|(_, encoding)| encoding.trim_start().split('/').next())
    }
    /// Whether it maps a payload type to this codec.
    pub fn has_codec(&self, codec: Codec) -> bool {
        let encodings = self.values("rtpmap").filter_map(|map| map.split_once(' ')?.1.split('/').next());
        encodings.into_iter().any(|encoding| encoding.eq_ignore_ascii_case(codec.name()))
    }
    /// The first of its formats that is a codec of ours.
    pub fn first_codec(&self) -> Option<Codec> {
        let codec = |format| Codec::from_mime(&format!("{}/{}", self.0.media, self.encoding_name(format)?));
        self.formats().find_map(codec)
    }
    /// Sets a format parameter of one of its formats (`a=fmtp`), whatever it was before.
    pub fn set_parameter(&mut self, format: &str, name: &str, value: &str) {
        let of_format = |attribute: &&mut Attribute| {
            attribute.attribute == "fmtp"
                && attribute
                    .value
                    .as_deref()
                    .and_then(|value| value.split_once(' '))
                    .is_some_and(|(of, _)| of == format)
        };
        let Some(fmtp) = self.0.attributes.iter_mut().find(of_format).and_then(|fmtp| fmtp.value.as_mut()) else {
            return self.push("fmtp", Some(&format!("{format} {name}={value}")));
        };
        let (_, parameters) = fmtp.split_once(' ').unwrap_or_default();
        let is_other = |parameter: &&str| parameter.split('=').next().is_none_or(|of| of.trim() != name);
        let mut parameters: Vec<&str> =
            parameters.split(';').filter(|parameter| !parameter.trim().is_empty()).filter(is_other).collect();
        let new = format!("{name}={value}");
        parameters.push(&new);
        *fmtp = format!("{format} {}", parameters.join(";"));
    }
    /// Lists one more payload type, as the last one.
    pub fn add_format(&mut self, format: &PayloadFormat) {
        let payload_type = format.payload_type;
        self.0.fmt = format!("{} {payload_type}", self.0.fmt).trim_start().to_owned();
        self.push("rtpmap", Some(&format!("{payload_type} {}", format.encoding)));
        if !format.parameters.is_empty() {
            self.push("fmtp", Some(&format!("{payload_type} {}", format.parameters)));
        }
        for feedback in &format.feedback {
            self.push("rtcp-fb", Some(&format!("{payload_type} {feedback}")));
        }
    }

    /// Its attributes, as `name` and `value`.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.attributes.iter().map(pair)
    }
    /// The value of its first attribute of this name.
    pub fn value<'a>(&'a self, name: &str) -> Option<&'a str> {
        self.0.attributes.iter().find_map(|attribute| named(attribute, name))
    }
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.attributes.iter().filter_map(move |attribute| named(attribute, name))
    }
    /// Adds an attribute at its end.
    pub fn push(&mut self, name: &str, value: Option<&str>) {
        self.0.attributes.push(attribute(name, value));
    }
    /// Keeps only the attributes that satisfy `keep`.
    pub fn retain_attributes(&mut self, keep: impl Fn(&str, Option<&str>) -> bool) {
        self.0.attributes.retain(|attribute| keep(&attribute.attribute, attribute.value.as_deref()));
    }
    /// Says that RTP and RTCP share a port and never go apart, where it says that they share one (RFC 8858 4).
    pub fn require_rtcp_mux(&mut self) {
        self.0.attributes.retain(|attribute| attribute.attribute != "rtcp-mux-only");
        if let Some(at) = self.0.attributes.iter().position(|attribute| attribute.attribute == "rtcp-mux") {
            self.0.attributes.insert(at + 1, attribute("rtcp-mux-only", None));
        }
    }

    /// Sets the port; 0 refuses the section.
    pub fn set_port(&mut self, port: u16) {
        (self.0.port, self.0.num_ports) = (port, None);
    }
    /// Whether it is refused or not used any more (RFC 8843 7.3.2: port 0, but not in an offer that bundles it).
    pub fn is_rejected(&self) -> bool {
        self.0.port == 0 && !self.has("bundle-only")
    }
    /// Refuses it (RFC 3264 6): only its formats and its name are left. Some want to know of each format what it is.
    pub fn refuse(&mut self) {
        self.set_port(0);
        self.0.attributes.retain(|attribute| matches!(&*attribute.attribute, "mid" | "rtpmap"));
        if self.kind().is_some() {
            self.push(Direction::Inactive.word(), None);
        }
    }
    /// The candidates in it, without their `candidate:`.
    pub fn candidates(&self) -> impl Iterator<Item = &str> {
        self.values("candidate")
    }
    /// Whether it has an attribute of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.attributes.iter().any(|attribute| attribute.attribute.trim_end() == name)
    }
    /// Gives an attribute this value, the only one of its name.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.0.attributes.iter().position(|attribute| attribute.attribute == name) {
            Some(at) => {
                let rest = self.0.attributes.split_off(at + 1);
                self.0.attributes[at] = attribute(name, Some(value));
                self.0.attributes.extend(rest.into_iter().filter(|attribute| attribute.attribute != name));
            }
            None => self.push(name, Some(value)),
        }
    }
    /// Gives it this direction, whatever it was.
    pub fn set_direction(&mut self, new: Direction) {
        self.0.attributes.retain(|attribute| Direction::from_word(attribute.attribute.trim_end()).is_none());
        self.push(new.word(), None);
    }
    /// Its DTLS role.
    pub fn setup_role(&self) -> Option<SetupRole> {
        SetupRole::parse(self.value("setup")?.trim())
    }
    /// Sources that it names (`a=ssrc`, RFC 5576), each once.
    pub fn ssrcs(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for ssrc in self.values("ssrc").filter_map(|value| value.split(' ').next()?.parse().ok()) {
            if !found.contains(&ssrc) {
                found.push(ssrc);
            }
        }
        found
    }
    /// Sources with the one that repeats their packets (`a=ssrc-group:FID`, RFC 4588).
    pub fn repair_ssrcs(&self) -> Vec<(u32, u32)> {
        let pair = |value: &str| {
            let mut words = value.split_ascii_whitespace();
            let (semantics, primary, repair) = (words.next()?, words.next()?, words.next()?);
            Some((primary.parse().ok()?, repair.parse().ok()?)).filter(|_| semantics == "FID")
        };
        self.values("ssrc-group").filter_map(pair).collect()
    }
    /// Sources that are the same picture in several layers (`a=ssrc-group:SIM`, as browsers once had it).
    pub fn layer_ssrcs(&self) -> Vec<u32> {
        let group = self.values("ssrc-group").find_map(|value| value.strip_prefix("SIM "));
        group.into_iter().flat_map(str::split_ascii_whitespace).filter_map(|ssrc| ssrc.parse().ok()).collect()
    }
    /// Its header extensions, as they stand; lines that cannot be read are left out.
    pub fn extensions(&self) -> Vec<HeaderExtension> {
        self.values("extmap").filter_map(extension).collect()
    }
    /// Lists these header extensions and no others.
    pub fn set_extensions(&mut self, extensions: &[HeaderExtension]) {
        self.0.attributes.retain(|attribute| attribute.attribute != "extmap");
        for HeaderExtension { id, uri, direction } in extensions {
            let direction = direction.map(|direction| format!("/{}", direction.word())).unwrap_or_default();
            self.push("extmap", Some(&format!("{id}{direction} {uri}")));
        }
    }
    /// Its payload types with their attributes, as they stand in the first line; those without a mapping have a static one or none, and
    /// are left out.
    pub fn payload_formats(&self) -> Vec<PayloadFormat> {
        let of = |name: &'static str, format: &str| {
            let value = |value: &str| Some(value.split_once(' ').filter(|(of, _)| *of == format)?.1.trim().to_owned());
            self.values(name).filter_map(value).collect::<Vec<String>>()
        };
        let format = |format: &str| {
            let mut feedback = of("rtcp-fb", format);
            feedback.extend(of("rtcp-fb", "*"));
            Some(PayloadFormat {
                payload_type: format.parse().ok().filter(|number| *number < 128)?,
                encoding: of("rtpmap", format).into_iter().next()?,
                parameters: of("fmtp", format).join(";"),
                feedback,
            })
        };
        self.formats().filter_map(format).collect()
    }
    /// Lists these payload types and no others, in this order.
    pub fn set_payload_formats(&mut self, formats: &[PayloadFormat]) {
        self.0.attributes.retain(|attribute| !matches!(&*attribute.attribute, "rtpmap" | "fmtp" | "rtcp-fb"));
        self.0.fmt.clear();
        for format in formats {
            self.add_format(format);
        }
    }
}

/// The value of an `a=extmap`: number, direction if one is given, URI; attributes of the extension may follow.
pub(super) fn extension(value: &str) -> Option<HeaderExtension> {
    let mut words = value.split_ascii_whitespace();
    let (id, direction) = words.next().map(|number| number.split_once('/').unwrap_or((number, "")))?;
    let direction = match direction {
        "" => None,
        word => Some(Direction::from_word(word)?),
    };
    Some(HeaderExtension { id: id.parse().ok()?, uri: words.next()?.to_owned(), direction })
}
