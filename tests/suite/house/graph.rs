//! Which file of a crate names which other file, by the paths in its code. A path is followed through re-exports to the file that
//! defines the item, so `pub use child::Thing` in a `mod.rs` is no stop on the way. Sees no method calls, nothing that a macro
//! makes, and nothing of `#[cfg(test)]` code.

use super::read::{Kind, Module, Named, Reader, Scope, child, module_of, test_modules};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What a path leads to.
enum Place {
    Module(Module),
    /// An item, in the file with this index.
    Item(usize),
    /// Something of another crate, by that one's name.
    Outside(String),
}

/// The product code of a crate.
pub struct Graph {
    /// From `src` on.
    pub files: Vec<String>,
    scopes: HashMap<Module, Scope>,
    named: Vec<Vec<Named>>,
    /// From one file to another, by index: the first path that does it.
    edges: BTreeMap<(usize, usize), Named>,
    /// Files that hold one type between them: the parent that defines it and children with an `impl` of it. The index of the parent.
    holder: Vec<usize>,
}

/// Files that import each other, directly or over others.
#[derive(Debug, PartialEq, Eq)]
pub struct Circle {
    pub files: Vec<String>,
    /// A shortest way round, for the one who has to break it.
    pub way: Vec<String>,
}

impl Graph {
    /// Of these sources: path from `src` on, text. Files that only `#[cfg(test)]` modules declare are left out, and so is `main.rs`.
    pub fn of<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Graph {
        let mut parsed: BTreeMap<Module, (&str, syn::File)> = BTreeMap::new();
        for (path, text) in sources.into_iter().filter(|(path, _)| *path != "main.rs") {
            let file = syn::parse_file(text).unwrap_or_else(|e| panic!("{path}: {e}"));
            parsed.insert(module_of(path), (path, file));
        }
        let tests = parsed.iter().flat_map(|(_, (path, file))| test_modules(path, &file.items)).collect::<Vec<_>>();
        parsed.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        let mut graph = Graph {
            files: Vec::new(),
            scopes: HashMap::new(),
            named: Vec::new(),
            edges: BTreeMap::new(),
            holder: (0..parsed.len()).collect(),
        };
        let mut implemented = Vec::new();
        for (module, (path, file)) in parsed {
            let index = graph.files.len();
            let reader = Reader::read(index, module, &file);
            graph.files.push(path.to_owned());
            graph.scopes.extend(reader.scopes);
            graph.named.push(reader.named);
            implemented.push(reader.implemented);
        }
        for (file, implemented) in implemented.iter().enumerate() {
            graph.connect(file);
            for (module, path) in implemented {
                // A type of an ancestor.
                if let Some(Place::Item(parent)) = graph.resolve(module, path, &mut HashSet::new())
                    && module.starts_with(&module_of(&graph.files[parent]))
                {
                    graph.holder[file] = parent;
                }
            }
        }
        graph
    }

    /// Every path in a file's product code.
    pub fn named(&self, file: usize) -> &[Named] {
        &self.named[file]
    }

    /// The files that a file names, with the path that does.
    pub fn imports(&self, file: usize) -> impl Iterator<Item = (&str, &Named)> {
        let range = (file, 0)..(file + 1, 0);
        self.edges.range(range).map(|((_, to), named)| (self.files[*to].as_str(), named))
    }

    /// The other crate that a path leads to, directly or over re-exports of ours. A name of the language's own (`Vec`, `T`) is one too.
    pub fn library(&self, named: &Named) -> Option<String> {
        match self.resolve(&named.module, &named.segments, &mut HashSet::new())? {
            Place::Outside(name) => Some(name),
            _ => None,
        }
    }

    /// The files that import each other, but for those that hold one type between them.
    pub fn circles(&self) -> Vec<Circle> {
        let count = self.files.len();
        let mut next: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); count];
        for (from, to) in self.edges.keys().map(|(from, to)| (self.top(*from), self.top(*to))) {
            if from != to {
                next[from].insert(to);
            }
        }
        let reached: Vec<BTreeSet<usize>> = (0..count).map(|from| reach(&next, from)).collect();
        let mut circles = Vec::new();
        let mut seen: BTreeSet<usize> = BTreeSet::new();
        for start in 0..count {
            if seen.contains(&start) || !reached[start].contains(&start) {
                continue;
            }
            let members: BTreeSet<usize> =
                reached[start].iter().copied().filter(|other| reached[*other].contains(&start)).collect();
            seen.extend(&members);
            circles.push(self.circle(&members, &next));
        }
        circles
    }

    fn top(&self, mut file: usize) -> usize {
        while self.holder[file] != file {
            file = self.holder[file];
        }
        file
    }

    fn circle(&self, members: &BTreeSet<usize>, next: &[BTreeSet<usize>]) -> Circle {
        let inside = |(from, to): &(usize, usize)| {
            let (from, to) = (self.top(*from), self.top(*to));
            from != to && members.contains(&from) && members.contains(&to)
        };
        let edges: Vec<(usize, usize)> = self.edges.keys().copied().filter(|edge| inside(edge)).collect();
        let files: BTreeSet<&String> =
            edges.iter().flat_map(|(from, to)| [&self.files[*from], &self.files[*to]]).collect();
        let round =
            members.iter().filter_map(|start| shortest_round(next, *start)).min_by_key(Vec::len).unwrap_or_default();
        let way = round.windows(2).filter_map(|step| {
            let edge = edges.iter().find(|(from, to)| (self.top(*from), self.top(*to)) == (step[0], step[1]))?;
            let named = &self.edges[edge];
            Some(format!(
                "{}:{} names {} of {}",
                self.files[edge.0],
                named.line,
                named.segments.join("::"),
                self.files[edge.1]
            ))
        });
        Circle { files: files.into_iter().cloned().collect(), way: way.collect() }
    }

    fn connect(&mut self, file: usize) {
        for named in self.named[file].clone() {
            let target = match self.resolve(&named.module, &named.segments, &mut HashSet::new()) {
                Some(Place::Item(target)) => target,
                // The names that a glob brings in are not looked at one by one.
                Some(Place::Module(module)) if matches!(named.kind, Kind::Glob | Kind::ReexportGlob) => {
                    self.scopes[&module].file
                }
                _ => continue,
            };
            let reexport = matches!(named.kind, Kind::Reexport | Kind::ReexportGlob);
            let below = module_of(&self.files[target]).starts_with(&named.module);
            if target != file && !(reexport && below) {
                self.edges.entry((file, target)).or_insert(named);
            }
        }
    }

    fn resolve(&self, module: &Module, path: &[String], seen: &mut HashSet<(Module, Vec<String>)>) -> Option<Place> {
        if !seen.insert((module.clone(), path.to_vec())) {
            return None;
        }
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.walk(Module::new(), rest, seen),
            "self" => self.walk(module.clone(), rest, seen),
            "super" => {
                let (_, parent) = module.split_last()?;
                match rest.first().is_some_and(|next| next == "super") {
                    true => self.resolve(&parent.to_vec(), rest, seen),
                    false => self.walk(parent.to_vec(), rest, seen),
                }
            }
            "Self" => None,
            _ => self.walk(module.clone(), path, seen).or_else(|| Some(Place::Outside(first.clone()))),
        }
    }

    fn walk(&self, module: Module, path: &[String], seen: &mut HashSet<(Module, Vec<String>)>) -> Option<Place> {
        let Some((name, rest)) = path.split_first() else { return Some(Place::Module(module)) };
        let scope = self.scopes.get(&module)?;
        let below = child(&module, name);
        // A module and a function may have one name: on the way it is the module, at the end the function.
        if !rest.is_empty() && self.scopes.contains_key(&below) {
            return self.walk(below, rest, seen);
        }
        if scope.items.contains(name) {
            return Some(Place::Item(scope.file));
        }
        if let Some(target) = scope.uses.get(name) {
            match self.resolve(&module, target, seen) {
                Some(Place::Module(module)) => return self.walk(module, rest, seen),
                Some(found) => return Some(found),
                None => {}
            }
        }
        if self.scopes.contains_key(&below) {
            return self.walk(below, rest, seen);
        }
        scope.globs.iter().find_map(|glob| match self.resolve(&module, glob, seen)? {
            Place::Module(target) if target != module => self.walk(target, path, seen),
            _ => None,
        })
    }
}

fn reach(next: &[BTreeSet<usize>], from: usize) -> BTreeSet<usize> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(at) = open.pop() {
        open.extend(next[at].iter().filter(|to| found.insert(**to)));
    }
    found
}

/// From `start` back to it, both ends included.
fn shortest_round(next: &[BTreeSet<usize>], start: usize) -> Option<Vec<usize>> {
    let mut before = HashMap::new();
    let mut open = std::collections::VecDeque::from([start]);
    while let Some(at) = open.pop_front() {
        for to in &next[at] {
            if *to == start {
                let mut way = vec![start, at];
                while way.last() != Some(&start) {
                    way.push(before[way.last()?]);
                }
                way.reverse();
                return Some(way);
            }
            if !before.contains_key(to) {
                before.insert(*to, at);
                open.push_back(*to);
            }
        }
    }
    None
}
