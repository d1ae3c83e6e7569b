//! Texts by UTF-16 units, in which JavaScript counts.

use super::instructions::Instruction;

/// How many UTF-16 units it has.
pub(super) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Takes the first `count` units. A character that is cut in half leaves U+FFFD on both sides, so the lengths
/// stay right.
pub(super) fn take(rest: &mut String, count: usize) -> String {
    let mut left = count;
    for (at, char) in rest.char_indices() {
        if left == 0 {
            let tail = rest.split_off(at);
            return std::mem::replace(rest, tail);
        }
        if left < char.len_utf16() {
            let tail = rest.split_off(at);
            let mut head = std::mem::take(rest);
            head.push(char::REPLACEMENT_CHARACTER);
            rest.push(char::REPLACEMENT_CHARACTER);
            rest.extend(tail.chars().skip(1));
            return head;
        }
        left -= char.len_utf16();
    }
    std::mem::take(rest)
}

/// The text after instructions; what lies beyond its end does nothing.
pub(super) fn applied(text: String, instructions: &[Instruction<String>]) -> String {
    let (mut done, mut rest) = (String::new(), text);
    for instruction in instructions {
        match instruction {
            Instruction::Retain(count) => done.push_str(&take(&mut rest, *count)),
            Instruction::Delete(count) => drop(take(&mut rest, *count)),
            Instruction::Insert(text) => done.push_str(text),
        }
    }
    done.push_str(&rest);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_inside_a_character_keeps_the_lengths() {
        for (at, head, tail) in [
            (0, "", "a😀b"),
            (1, "a", "😀b"),
            (2, "a\u{fffd}", "\u{fffd}b"),
            (3, "a😀", "b"),
            (4, "a😀b", ""),
            (9, "a😀b", ""),
        ] {
            let mut rest = "a😀b".to_owned();
            assert_eq!((take(&mut rest, at).as_str(), rest.as_str()), (head, tail));
            assert_eq!(units(head) + units(tail), 4);
        }
    }
}
