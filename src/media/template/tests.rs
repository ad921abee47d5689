//! Templates: valid and invalid texts and values, and that no value can break the launch syntax.

use super::*;
use proptest::prelude::*;

const GOOD: &str = "# Black and white.\n\
    # A second comment.\n\
    # @param contrast: double = 1.0 (0.0..2.0)\n\
    # @param width: int (16..4096)\n\
    # @param rate: fraction = 30/1 (1/1..60/1)\n\
    # @param method: enum = fast (fast|very-good)\n\
    # @param on: bool = true\n\
    \n\
    videobalance contrast={contrast} ! video/x-raw,format={ I420, NV12 },width={width},framerate={rate}\n\
    ! x method={method} on={on}\n";

fn good() -> Template {
    Template::parse("filter/grey", "filter/grey.gst", GOOD).unwrap()
}

fn refused(text: &str) -> String {
    let error = Template::parse("t", "t.gst", text).expect_err(text);
    assert!(matches!(error, crate::error::Error::User(_)));
    error.to_string()
}

#[test]
fn fills_values_and_defaults_and_leaves_lists_alone() {
    let template = good();
    assert_eq!(template.help, "Black and white.");
    let text = template.fill(&[("width", Value::Int(640)), ("method", Value::Word("very-good".into()))]).unwrap();
    assert_eq!(
        text,
        "videobalance contrast=1.0 ! video/x-raw,format={ I420, NV12 },width=640,framerate=30/1\n\
         ! x method=very-good on=true\n"
    );
}

#[test]
fn a_missing_value_an_unknown_name_another_type_and_values_out_of_range_are_refused() {
    let template = good();
    let width = ("width", Value::Int(640));
    let fails = |values: &[(&str, Value)], says: &str| {
        let error = template.fill(values).unwrap_err().to_string();
        assert!(error.starts_with("filter/grey.gst: ") && error.contains(says), "{error}");
    };
    fails(&[], "`width` must be given");
    fails(&[width.clone(), ("height", Value::Int(1))], "no parameter `height`; it has contrast, width");
    fails(&[("width", Value::Double(640.0))], "a whole number from 16 to 4096");
    fails(&[("width", Value::Int(4097))], "`4097` is not");
    fails(&[width.clone(), ("contrast", Value::Double(f64::NAN))], "a number from 0.0 to 2.0");
    fails(&[width.clone(), ("rate", Value::Fraction(61, 1))], "1/1 to 60/1");
    fails(&[width.clone(), ("rate", Value::Fraction(30, 0))], "1/1 to 60/1");
    fails(&[width, ("method", Value::Word("slow".into()))], "one of fast, very-good");
}

#[test]
fn text_from_outside_never_becomes_part_of_the_description() {
    let template = good();
    for text in ["fast ! filesink location=/etc/passwd", "fast\"", "{width}", "", "FAST"] {
        assert!(template.read("method", text).is_err(), "{text}");
        assert!(template.fill(&[("width", Value::Int(64)), ("method", Value::Word(text.into()))]).is_err(), "{text}");
    }
    for text in ["1 ! filesink", "0x10", "inf", "nan", "1e400", " 1", "3.0"] {
        assert!(template.read("contrast", text).is_err(), "{text}");
    }
    assert_eq!(template.read("contrast", "1.25").unwrap(), Value::Double(1.25));
    assert_eq!(template.read("rate", "30000/1001").unwrap(), Value::Fraction(30000, 1001));
}

#[test]
fn a_bad_template_is_refused_with_its_line() {
    assert_eq!(refused("fakesink"), "t.gst:1: the first comment line must say what the pipeline does");
    assert_eq!(refused("# Nothing.\n"), "t.gst:1: has no pipeline description");
    assert_eq!(refused("# X.\nfakesink sync={sync}"), "t.gst:2: `{sync}` is not a declared parameter");
    assert_eq!(refused("# X.\n# @param n: bool\nfakesink"), "t.gst:2: parameter `n` is not used");
    for (declaration, says) in [
        ("n: int = 5 (0..4)", "the default of `n`: `5` is not a whole number from 0 to 4"),
        ("n: int", "needs a range"),
        ("n: int (9..1)", "empty range"),
        ("n: int (a..b)", "`a` is not a valid int"),
        ("n: double (0.0..inf)", "`inf` is not a valid double"),
        ("n: fraction (1/0..2/1)", "`1/0` is not a valid fraction"),
        ("n: string = x", "`string` is not a type"),
        ("n: enum = a (a|b c)", "`b c` is not a word"),
        ("n: enum = c (a|b)", "`c` is not one of a, b"),
        ("N: bool", "`N` is not a parameter name"),
        ("n bool", "a parameter is"),
        ("n: int (1..2", "a parameter is"),
    ] {
        let error = refused(&format!("# X.\n#\n# @param {declaration}\nfakesink a={{n}}"));
        assert!(error.starts_with("t.gst:3: ") && error.contains(says), "{declaration}: {error}");
    }
    assert!(
        refused("# X.\n# @param n: bool\n# @param n: bool\nx a={n}")
            .contains("t.gst:3: parameter `n` is declared twice")
    );
    assert!(refused(&format!("# X.\n{}", "x".repeat(MAX_BYTES))).contains("longer"));
}

#[test]
fn texts_images_and_code_are_declared_and_never_filled_in() {
    let text = "# X.\n# @text caption -> words.text = \"Live!\" (..20)\n# @image logo (optional)\n# @image photo\n# @code watermark -> mark\nx";
    let template = Template::parse("t", "t.gst", text).unwrap();
    assert_eq!(template.codes(), [("watermark".to_owned(), "mark".to_owned())]);
    let optional: Vec<_> = template.params.iter().map(|p| (p.name.as_str(), p.optional, p.default.is_some())).collect();
    assert_eq!(optional, [("caption", false, true), ("logo", true, false), ("photo", false, false)]);
    let error = template.fill(&[]).unwrap_err().to_string();
    assert!(error.contains("parameter `photo` must be given: an image file"), "{error}");
    let given = template.samples();
    assert_eq!(template.fill(&given).unwrap(), "x\n");
    assert_eq!(template.texts(&given).unwrap(), [("words", "text", "Live!".to_owned())]);
    let caption = template.read("caption", "a \" ! filesink location=/etc/passwd").map(drop).unwrap_err();
    assert!(caption.to_string().contains("at most 20 characters"), "{caption}");
    let caption = template.read("caption", "\" ! fakesink").unwrap();
    let given = [given, vec![("caption", caption)]].concat();
    assert_eq!(template.texts(&given).unwrap()[0].2, "\" ! fakesink");
    assert_eq!(template.fill(&given).unwrap(), "x\n", "it is no part of the description");

    for (header, says) in [
        ("@text caption", "a text is `@text"),
        ("@text caption -> words = \"x\" (..9)", "a text is `@text"),
        ("@text caption -> words.text = \"x\"", "a text is `@text"),
        ("@text caption -> words.text = \"too long\" (..3)", "the default of `caption`"),
        ("@text caption -> words.text (..0)", "1 to 1000 characters"),
        ("@text Caption -> words.text (..9)", "is not a parameter name"),
        ("@image a b", "`a b` is not a parameter name"),
        ("@code watermark", "`@code name -> element`"),
        ("@code water mark -> x", "`@code name -> element`"),
    ] {
        let error = refused(&format!("# X.\n# {header}\nx"));
        assert!(error.starts_with("t.gst:2: ") && error.contains(says), "{header}: {error}");
    }
    let error = refused("# X.\n# @text caption -> words.text (..9)\nx text={caption}");
    assert_eq!(error, "t.gst:3: `{caption}` is not a number and cannot be used as a placeholder");
}

#[test]
fn a_word_is_found_in_its_line() {
    let template = Template::parse("t", "t.gst", "# X.\n\nvp8enc-like\n! vp8enc deadline=1\n").unwrap();
    assert_eq!(template.place_of("vp8enc"), "t.gst:4");
    assert_eq!(template.place_of("x264enc"), "t.gst");
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_without_a_panic(text in "(# X\\.\n)?(# @(param|text|image|code) [a-z:= ().|0-9/\"<>-]{0,40}\n){0,2}[ -~{}ä\n]{0,80}") {
        if let Ok(template) = Template::parse("t", "t.gst", &text) {
            template.fill(&template.samples()).unwrap();
        }
    }
}
