use super::change::Command;
pub fn command_of(_exe: Option<&[u8]>, _argv: &[&[u8]]) -> Option<((), Command)> {
    None
}
