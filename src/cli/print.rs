//! Output: results on stdout, everything else on stderr. A reader that goes away (`roombot … | head`) must not end a verb, as the panics of
//! `println!` and `eprintln!` would.

/// Prints a line of a result on stdout.
macro_rules! print_out {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        match writeln!(std::io::stdout().lock(), $($text)*) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                $crate::cli::print::print_err!("warning: cannot print the result: {e}");
            }
            _ => {}
        }
    }};
}

/// Prints a line on stderr; one of the log where that is JSON.
macro_rules! print_err {
    ($($text:tt)*) => {
        $crate::log::tell(format_args!($($text)*))
    };
}

pub(super) use {print_err, print_out};
