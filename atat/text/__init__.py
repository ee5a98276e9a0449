"""Words, trees and vocabularies."""
