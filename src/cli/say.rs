//! What a person or a program reads: results on stdout, everything else on stderr. Whoever reads may have gone (`roombot … | head`), and
//! a verb goes on all the same: `println!` and `eprintln!` would take a recorder down with its log.

/// A line of a result, on stdout.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        match writeln!(std::io::stdout().lock(), $($text)*) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                $crate::cli::say::tell!("warning: the result cannot be printed: {e}");
            }
            _ => {}
        }
    }};
}

/// A line beside the result, on stderr.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr().lock(), $($text)*);
    }};
}

pub(super) use {say, tell};
