//! Pages of a list: what `limit`, `cursor` and lists of words in a request mean, and where the next page begins.

use super::problem::Problem;
use serde::Deserialize;
use utoipa::IntoParams;

/// Entries on a page, unless `limit` says otherwise, and at most.
const PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 500;

/// Which page of a list that has no other filters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// How many, 1 to 500; 50 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl PageQuery {
    pub(super) fn page(&self) -> Result<PageRequest, Problem> {
        PageRequest::new(self.limit, self.cursor.as_deref())
    }
}

/// The page that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageRequest {
    limit: usize,
    /// Only what stands before this position.
    pub before: Option<i64>,
}

impl PageRequest {
    /// Of the parameters `limit` and `cursor`.
    pub(super) fn new(limit: Option<u32>, cursor: Option<&str>) -> Result<PageRequest, Problem> {
        let limit = limit.unwrap_or(PAGE);
        if !(1..=LARGEST_PAGE).contains(&limit) {
            return Err(Problem::field("limit", format!("must be 1 to {LARGEST_PAGE}")));
        }
        let before = cursor.map(|cursor| cursor.parse().map_err(|_| Problem::field("cursor", "is none of ours")));
        Ok(PageRequest { limit: limit as usize, before: before.transpose()? })
    }

    /// How many to read: one more than the page has, which tells whether another follows.
    pub(super) fn count(self) -> u32 {
        self.limit as u32 + 1
    }

    /// The page of what was read, each with its position, and the cursor of the next one.
    pub(super) fn cut<T>(self, mut found: Vec<(i64, T)>) -> (Vec<T>, Option<String>) {
        let is_last = found.len() <= self.limit;
        found.truncate(self.limit);
        let next = found.last().filter(|_| !is_last).map(|(position, _)| position.to_string());
        (found.into_iter().map(|(_, entry)| entry).collect(), next)
    }
}

/// The states that a parameter names, separated by commas. `known`: all of them with their words.
pub(super) fn states<T: Copy>(text: Option<&str>, known: &[(&str, T)]) -> Result<Vec<T>, Problem> {
    let find = |word: &str| {
        let found = known.iter().find(|(name, _)| *name == word).map(|(_, state)| *state);
        found.ok_or_else(|| {
            let known: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            Problem::field("state", format!("{word:?} is no state; known are {}", known.join(", ")))
        })
    };
    text.iter().flat_map(|words| words.split(',')).map(|word| find(word.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_page_has_no_cursor() {
        let page = PageRequest::new(Some(2), Some("9")).unwrap();
        assert_eq!((page.before, page.count()), (Some(9), 3));
        assert_eq!(page.cut(vec![(8, 'a'), (7, 'b'), (3, 'c')]), (vec!['a', 'b'], Some("7".to_owned())));
        assert_eq!(page.cut(vec![(8, 'a'), (7, 'b')]), (vec!['a', 'b'], None));
        assert_eq!(page.cut::<char>(Vec::new()), (Vec::new(), None));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (limit, cursor) in [(Some(0), None), (Some(501), None), (None, Some("x")), (None, Some(""))] {
            assert!(PageRequest::new(limit, cursor).is_err(), "{limit:?} {cursor:?}");
        }
        let known = [("on", true), ("off", false)];
        assert_eq!(states(Some("off, on"), &known), Ok(vec![false, true]));
        assert_eq!(states(None, &known), Ok(Vec::new()));
        assert!(states(Some("on,"), &known).is_err());
    }
}
