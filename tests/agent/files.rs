//! Files of the kinds that an agent looks at, as small as they can be.

/// A picture: eight by eight red dots.
pub(crate) const PNG: &[u8] = b"\
    \x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08\0\0\0\x08\x08\x02\0\0\0Km)\xdc\0\0\0\x12IDATx\x9cc\xf8\
    \xcf\xc0\x80\x15a\x17\x1d\xb4\x12\0(\xff?\xc1n\xec\xdfa\0\0\0\0IEND\xaeB`\x82";

/// A document: one empty page. Its index tells where each object begins.
pub(crate) fn pdf() -> Vec<u8> {
    let objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>",
    ];
    let mut text = String::from("%PDF-1.4\n");
    let mut index = String::from("xref\n0 4\n0000000000 65535 f \n");
    for (i, object) in objects.iter().enumerate() {
        index.push_str(&format!("{:010} 00000 n \n", text.len()));
        text.push_str(&format!("{} 0 obj{object}endobj\n", i + 1));
    }
    let at = text.len();
    format!("{text}{index}trailer<</Size 4/Root 1 0 R>>\nstartxref\n{at}\n%%EOF\n").into_bytes()
}
