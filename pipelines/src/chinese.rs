//! Traditional or Simplified Chinese, told by the characters that only one script uses.

use std::collections::HashMap;
use std::sync::LazyLock;

/// `true` for characters of the traditional script, `false` for those of the simplified one.
static SCRIPTS: LazyLock<HashMap<char, bool>> = LazyLock::new(|| {
    let lines = include_str!("../data/chinese_variants.txt").lines();
    lines
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(script, characters)| match script {
            "traditional" => Some((true, characters)),
            "simplified" => Some((false, characters)),
            _ => None,
        })
        .flat_map(|(traditional, characters)| characters.chars().map(move |c| (c, traditional)))
        .collect()
});

/// Whether more characters of `text` belong to the traditional script alone than to the simplified alone.
/// A text with neither is not called traditional.
pub fn is_traditional(text: &str) -> bool {
    let mut balance = 0i64;
    for c in text.chars() {
        match SCRIPTS.get(&c) {
            Some(true) => balance += 1,
            Some(false) => balance -= 1,
            None => {}
        }
    }
    balance > 0
}

#[cfg(test)]
mod tests {
    use super::is_traditional;

    #[test]
    fn scripts_are_told_apart() {
        for text in [
            "我喜歡在臺北吃烤鴨",
            "請問圖書館在哪裡？",
            "這個產品的質量非常好",
        ] {
            assert!(is_traditional(text), "{text}");
        }
        for text in [
            "我喜欢在北京吃烤鸭",
            "请问图书馆在哪里？",
            "这个产品的质量非常好",
            "你好",
            "",
            "hello",
        ] {
            assert!(!is_traditional(text), "{text}");
        }
    }
}
