//! Reads what one source file declares and names. Decides nothing.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::{HashMap, HashSet};
use syn::visit::{self, Visit};

/// A module's path from the root of the crate: empty for `lib.rs`.
pub type Module = Vec<String>;

/// A path as it stands in the code, with what its first segment means: `crate`, `self`, `super`, a name in scope or another crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub line: usize,
    pub segments: Vec<String>,
    /// The module that it stands in.
    pub module: Module,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A `use` that nobody else sees, or a path in an expression, a type or a macro's arguments.
    Used,
    /// `use path::*`.
    Glob,
    /// `pub use`, of whatever visibility.
    Reexport,
    /// `pub use path::*`.
    ReexportGlob,
}

/// What is known of a module.
#[derive(Default)]
pub struct Scope {
    pub file: usize,
    pub items: HashSet<String>,
    /// Names that a `use` brings in, and the path of each.
    pub uses: HashMap<String, Vec<String>>,
    pub globs: Vec<Vec<String>>,
}

pub fn module_of(path: &str) -> Module {
    let path = path.trim_end_matches(".rs");
    let mut module: Module = path.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod" || last == "lib") {
        module.pop();
    }
    module
}

pub fn child(module: &Module, name: &str) -> Module {
    let mut path = module.clone();
    path.push(name.to_owned());
    path
}

fn for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let test = || attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"));
        attribute.path().is_ident("test") || attribute.path().is_ident("cfg") && test()
    })
}

/// The modules of other files that a file declares for tests only.
pub fn test_modules(path: &str, items: &[syn::Item]) -> Vec<Module> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let of = |item: &syn::Item| match item {
        syn::Item::Mod(inner) if inner.content.is_none() && for_tests(&inner.attrs) => {
            let other = inner.attrs.iter().find_map(|attribute| match &attribute.meta {
                syn::Meta::NameValue(pair) if pair.path.is_ident("path") => literal(&pair.value),
                _ => None,
            });
            Some(match other {
                Some(file) => module_of(format!("{folder}/{file}").trim_start_matches('/')),
                None => child(&module_of(path), &inner.ident.to_string()),
            })
        }
        _ => None,
    };
    items.iter().filter_map(of).collect()
}

fn literal(value: &syn::Expr) -> Option<String> {
    match value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

/// Reads what one file names and declares.
#[derive(Default)]
pub struct Reader {
    file: usize,
    module: Module,
    pub scopes: HashMap<Module, Scope>,
    pub named: Vec<Named>,
    /// The types that it has an inherent `impl` of, as paths in their modules.
    pub implemented: Vec<(Module, Vec<String>)>,
}

impl Reader {
    /// `file`: its index in the graph.
    pub fn read(file: usize, module: Module, syntax: &syn::File) -> Reader {
        let mut reader = Reader { file, module: module.clone(), ..Reader::default() };
        reader.scopes.insert(module, Scope { file, ..Scope::default() });
        reader.visit_file(syntax);
        reader
    }

    fn name(&mut self, segments: Vec<String>, line: usize, kind: Kind) {
        self.named.push(Named { line, segments, module: self.module.clone(), kind });
    }

    fn scope(&mut self) -> &mut Scope {
        self.scopes.entry(self.module.clone()).or_default()
    }

    fn use_tree(&mut self, before: &[String], tree: &syn::UseTree, public: bool) {
        let path = |ident: &syn::Ident| {
            let mut path = before.to_vec();
            // `use a::{self}` is `use a`.
            if ident != "self" || before.is_empty() {
                path.push(ident.to_string());
            }
            path
        };
        let kind = if public { Kind::Reexport } else { Kind::Used };
        match tree {
            syn::UseTree::Path(inner) => self.use_tree(&path(&inner.ident), &inner.tree, public),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(before, tree, public);
                }
            }
            syn::UseTree::Name(name) => self.bring(path(&name.ident), None, &name.ident, kind),
            syn::UseTree::Rename(name) => {
                self.bring(path(&name.ident), Some(name.rename.to_string()), &name.ident, kind)
            }
            syn::UseTree::Glob(glob) => {
                let kind = if public { Kind::ReexportGlob } else { Kind::Glob };
                self.scope().globs.push(before.to_vec());
                self.name(before.to_vec(), glob.star_token.spans[0].start().line, kind);
            }
        }
    }

    fn bring(&mut self, path: Vec<String>, rename: Option<String>, ident: &syn::Ident, kind: Kind) {
        if let Some(name) = rename.or_else(|| path.last().cloned()) {
            self.scope().uses.insert(name, path.clone());
        }
        self.name(path, ident.span().start().line, kind);
    }

    /// Paths of two segments and more in what is no syntax of its own: a macro's arguments.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut line, mut colons): (Vec<String>, usize, usize) = (Vec::new(), 0, 0);
        let end = |reader: &mut Reader, path: &mut Vec<String>, line: usize| {
            if path.len() > 1 {
                reader.name(std::mem::take(path), line, Kind::Used);
            }
            path.clear();
        };
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => path.push(ident.to_string()),
                TokenTree::Ident(ident) => {
                    end(self, &mut path, line);
                    line = ident.span().start().line;
                    path.push(ident.to_string());
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => {
                    end(self, &mut path, line);
                    self.tokens(group.stream());
                }
                _ => end(self, &mut path, line),
            }
            colons = 0;
        }
        end(self, &mut path, line);
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (attributes, ident) = match item {
            syn::Item::Const(i) => (&i.attrs, Some(&i.ident)),
            syn::Item::Enum(i) => (&i.attrs, Some(&i.ident)),
            syn::Item::Fn(i) => (&i.attrs, Some(&i.sig.ident)),
            syn::Item::Macro(i) => (&i.attrs, i.ident.as_ref()),
            syn::Item::Static(i) => (&i.attrs, Some(&i.ident)),
            syn::Item::Struct(i) => (&i.attrs, Some(&i.ident)),
            syn::Item::Trait(i) => (&i.attrs, Some(&i.ident)),
            syn::Item::Type(i) => (&i.attrs, Some(&i.ident)),
            syn::Item::Union(i) => (&i.attrs, Some(&i.ident)),
            syn::Item::Impl(i) => (&i.attrs, None),
            syn::Item::Mod(i) => (&i.attrs, None),
            syn::Item::Use(i) => (&i.attrs, None),
            _ => return visit::visit_item(self, item),
        };
        if for_tests(attributes) {
            return;
        }
        if let Some(ident) = ident {
            let name = ident.to_string();
            self.scope().items.insert(name);
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, inner: &'ast syn::ItemMod) {
        if inner.content.is_some() {
            let outer = self.module.clone();
            self.module = child(&outer, &inner.ident.to_string());
            let file = self.file;
            self.scope().file = file;
            visit::visit_item_mod(self, inner);
            self.module = outer;
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&[], &item.tree, !matches!(item.vis, syn::Visibility::Inherited));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if item.trait_.is_none()
            && let syn::Type::Path(of) = &*item.self_ty
        {
            let path = of.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.implemented.push((self.module.clone(), path));
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.name(segments, path.segments[0].ident.span().start().line, Kind::Used);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        self.tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        // `#[serde(with = "super::seconds")]`.
        let syn::Meta::List(list) = &attribute.meta else { return };
        for token in list.tokens.clone() {
            let TokenTree::Literal(literal) = token else { continue };
            let line = literal.span().start().line;
            let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) else { continue };
            let Ok(path) = text.parse::<syn::Path>() else { continue };
            if path.segments.len() > 1 {
                self.name(path.segments.iter().map(|s| s.ident.to_string()).collect(), line, Kind::Used);
            }
        }
    }
}
